"""What a profile says of an emulated board: which machine, where its memory is, which counter tells instructions."""

from math import ceil, log2
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Address = Annotated[int, Field(ge=0, lt=1 << 32)]
Size = Annotated[int, Field(ge=1024, le=1 << 31)]

LEAST_TICKS_PER_INSTRUCTION = 2.1
"""Above 2, the number of instructions between two readings is the one nearest to their difference."""

LARGEST_SHIFT = 10
COUNTER_BITS = 32

VECTORS_BYTES = 1024


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Region(_Part):
    """A stretch of the address space."""

    origin: Address
    bytes: Size


class Counter(_Part):
    """A 32-bit counter that runs at `hz` of virtual time: it tells up to about 10^9 instructions per kernel.

    `cmsdk-timer` is a CMSDK APB timer, `sse-counter` the system counter of an SSE subsystem (`address`: its control
    frame; the status frame is at 0x1000 from it), `mcycle` is RISC-V's own, which has no address.
    """

    kind: Literal["cmsdk-timer", "sse-counter", "mcycle"]
    hz: Annotated[float, Field(gt=0, le=1e9)]
    address: Address | None = None

    @model_validator(mode="after")
    def _has_an_address(self) -> Self:
        if (self.address is None) != (self.kind == "mcycle"):
            raise ValueError("address: every counter but mcycle is somewhere")
        return self


class Board(_Part):
    """Options of the device kind `qemu-system`. They describe QEMU's board, whose memory is larger than the part's.

    Attributes:
        emulator: QEMU's program; machine, cpu: as it knows them.
        vectors: where the core looks for its vectors; left out, at the beginning of `code`.
        code: where code and constants go; data: where stack, arena and buffers go, the stack lowest, so that one that
            overflows faults instead of overwriting something.
        stack_bytes: room for the stack.
        timeout_s: seconds without an answer after which the firmware counts as hung.
    """

    emulator: str = "qemu-system-arm"
    machine: str
    cpu: str
    vectors: Region | None = None
    code: Region
    data: Region
    counter: Counter
    stack_bytes: Size = 65536
    timeout_s: Annotated[float, Field(gt=0)] = 120.0

    @property
    def shift(self) -> int:
        """QEMU's `-icount shift`: an instruction lasts 2^shift ns of virtual time."""
        return max(0, ceil(log2(LEAST_TICKS_PER_INSTRUCTION * 1e9 / self.counter.hz)))

    @property
    def ticks_per_instruction(self) -> float:
        """How far the counter goes with every instruction."""
        return (1 << self.shift) * self.counter.hz / 1e9

    @model_validator(mode="after")
    def _can_count(self) -> Self:
        if self.shift > LARGEST_SHIFT:
            raise ValueError("counter.hz: too slow to tell single instructions")
        return self

    def instructions(self, ticks: int) -> int:
        """How many instructions lie between two readings of the counter."""
        return round(ticks / self.ticks_per_instruction)
