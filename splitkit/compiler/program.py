"""A compiled graph before code generation: which kernels run, in which order, on which buffers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from splitkit.compiler.kernels.protocol import KernelSpec

PLAIN = 0
"""The layout of a tensor in ONNX order; any other layout is the size of a channel block."""


@dataclass(frozen=True)
class Buffer:
    """A tensor in memory: physical shape (channel-packed if the shape has five axes) and dtype.

    `parent` makes it a window, `offset` bytes into another buffer, instead of memory of its own.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    parent: str | None = None
    offset: int = 0

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Constant:
    """A constant operand as the model has it. `role` says how it is packed: weight, bias or raw."""

    value: NDArray[np.generic]
    role: str


@dataclass(frozen=True)
class Call:
    """One kernel call. `operands` in the order of the specification; the output is the last one, a buffer's name."""

    spec: "KernelSpec"
    operands: tuple[str | Constant, ...]
    origin: str

    @property
    def reads(self) -> tuple[str, ...]:
        """Buffers it reads."""
        return tuple(o for o in self.operands[:-1] if isinstance(o, str))

    @property
    def writes(self) -> str:
        """The buffer it writes."""
        last = self.operands[-1]
        assert isinstance(last, str)
        return last


@dataclass(frozen=True)
class Part:
    """Operators that run together: tensors of the graph that they read, those that others need of them, their calls.

    Calls that bring a tensor into another layout belong to the part that wants it so; those at the graph's outputs to
    the last one.
    """

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    calls: range


@dataclass(frozen=True)
class Program:
    """Calls in order. `inputs` and `outputs` are buffers the caller owns, in the graph's order.

    `output_names` are the graph's names of the outputs. `fallback` counts the ONNX operators that have no schedule
    here. `parts` are the calls by what they were made of, in order.
    """

    calls: tuple[Call, ...]
    buffers: Mapping[str, Buffer]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    output_names: tuple[str, ...]
    fallback: Mapping[str, int]
    parts: tuple[Part, ...]

    def root(self, name: str) -> tuple[Buffer, int]:
        """The buffer that owns the memory of `name`, and the byte offset of `name` within it."""
        return root(self.buffers, name)


def root(buffers: Mapping[str, Buffer], name: str) -> tuple[Buffer, int]:
    """The buffer that owns the memory of `name`, and the byte offset of `name` within it."""
    buffer, offset = buffers[name], 0
    while buffer.parent is not None:
        offset += buffer.offset
        buffer = buffers[buffer.parent]
    return buffer, offset
