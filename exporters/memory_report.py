"""What a compiled network takes of flash and RAM, layer by layer, and whether a device has it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from splitkit.errors import BundleError, DeviceError, reason

MEMORY_FILE = "memory.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class LayerMemory:
    """One kernel call.

    Attributes:
        layer: the model's name for it; kernel: what it runs; symbol: the C function.
        code_bytes: of that function; calls of one kernel share it, so only the first of them counts it.
        weight_bytes: constants as packed; those that several calls share are the first one's.
        live_bytes: of the arena while it runs: its operands, workspace and whatever later layers wait for.
        workspace_bytes: of these, the kernel's temporaries.
        stack_bytes: of the kernel, without `external_calls`; None where the object does not tell.
        external_calls: functions of the toolchain's libraries that it calls, whose stack is not in `stack_bytes`.
    """

    layer: str
    kernel: str
    symbol: str
    code_bytes: int
    weight_bytes: int
    live_bytes: int
    workspace_bytes: int
    stack_bytes: int | None
    external_calls: tuple[str, ...] = ()


@dataclass(frozen=True)
class DriverMemory:
    """The generated C file as one compiler made it: what `compiler` says, its code, and the frame of `NAME_run`."""

    compiler: str
    code_bytes: int
    stack_bytes: int | None


@dataclass(frozen=True)
class MemoryReport:
    """Bytes of a compiled network.

    Attributes:
        code_bytes: machine code of the kernels; constant_bytes: literals beside it; weight_bytes: the constants.
        unwind_bytes: tables for exceptions, which a linker script may drop; not part of `flash_bytes`.
        arena_bytes: activations and workspace; input_bytes, output_bytes: the caller's buffers.
        driver: the C file's share, measured where a compiler for the target is installed; otherwise it is not counted.
    """

    name: str
    code_bytes: int
    constant_bytes: int
    weight_bytes: int
    unwind_bytes: int
    arena_bytes: int
    workspace_bytes: int
    input_bytes: int
    output_bytes: int
    driver: DriverMemory | None
    layers: tuple[LayerMemory, ...]

    @property
    def flash_bytes(self) -> int:
        """Code and constants."""
        return (
            self.code_bytes
            + self.constant_bytes
            + self.weight_bytes
            + (self.driver.code_bytes if self.driver is not None else 0)
        )

    @property
    def stack_bytes(self) -> int | None:
        """Stack below the caller of `NAME_run`; None if a frame is not known. Library functions come on top."""
        frames = [layer.stack_bytes for layer in self.layers]
        known = [frame for frame in frames if frame is not None]
        own = 0 if self.driver is None else self.driver.stack_bytes
        return None if own is None or len(known) < len(frames) else own + max(known, default=0)

    @property
    def external_calls(self) -> tuple[str, ...]:
        """Library functions that the kernels call."""
        return tuple(sorted({name for layer in self.layers for name in layer.external_calls}))

    @property
    def ram_bytes(self) -> int:
        """Arena, the caller's buffers, and the stack as far as it is known."""
        return self.arena_bytes + self.input_bytes + self.output_bytes + (self.stack_bytes or 0)

    def save(self, directory: Path) -> None:
        """Write `memory.json`."""
        body = {
            "schema_version": SCHEMA_VERSION,
            "flash_bytes": self.flash_bytes,
            "ram_bytes": self.ram_bytes,
            "stack_bytes": self.stack_bytes,
            "external_calls": self.external_calls,
        }
        (directory / MEMORY_FILE).write_text(json.dumps(body | asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, directory: Path) -> "MemoryReport":
        """Read the `memory.json` of a compiled directory.

        Raises:
            BundleError: it is missing or of another schema.
        """
        file = directory / MEMORY_FILE
        try:
            body: dict[str, Any] = json.loads(file.read_text())
            if body.pop("schema_version") != SCHEMA_VERSION:
                raise BundleError(f"{file}: another schema_version than {SCHEMA_VERSION}", "export it again")
            for derived in ("flash_bytes", "ram_bytes", "stack_bytes", "external_calls"):
                body.pop(derived)
            layers = tuple(
                LayerMemory(**(layer | {"external_calls": tuple(layer["external_calls"])})) for layer in body["layers"]
            )
            driver = DriverMemory(**body["driver"]) if body["driver"] else None
            return cls(**(body | {"layers": layers, "driver": driver}))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError(f"{file}: not a memory report: {reason(error)}", "export it again") from error


def check_budget(report: MemoryReport, flash_bytes: int | None, memory_bytes: int | None) -> None:
    """Whether a device with so much flash and RAM (None: as much as it takes) holds the network.

    Raises:
        DeviceError: it does not; says what is too large, by how much, and which layers hold most of it.
    """
    if flash_bytes is not None and report.flash_bytes > flash_bytes:
        held = _largest(report.layers, lambda layer: layer.weight_bytes + layer.code_bytes)
        raise DeviceError(_excess(report.name, "flash", report.flash_bytes, flash_bytes, held))
    if memory_bytes is not None and report.ram_bytes > memory_bytes:
        held = _largest(report.layers, lambda layer: layer.live_bytes)
        edges = f"; input {report.input_bytes:,}, output {report.output_bytes:,}, stack {report.stack_bytes or 0:,}"
        raise DeviceError(_excess(report.name, "RAM", report.ram_bytes, memory_bytes, held + edges))


def _largest(layers: Sequence[LayerMemory], held: Callable[[LayerMemory], int]) -> str:
    top = sorted(layers, key=held, reverse=True)[:3]
    return ", ".join(f"{layer.layer or layer.kernel} {held(layer):,}" for layer in top)


def _excess(name: str, what: str, needed: int, there: int, held: str) -> str:
    return (
        f"{name}: needs {needed:,} bytes of {what}, {needed - there:,} more than the device's {there:,};"
        f" most is held by {held}"
    )
