"""A compiled graph before code generation: which kernels run, in which order, on which buffers."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.spec import AnySpec, ConvSpec, LinearSpec


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

    spec: AnySpec
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
class Program:
    """Calls in order. `inputs` and `outputs` are buffers the caller owns, in the graph's order.

    `output_names` are the graph's names of the outputs. `fallback`
    counts the ONNX operators that have no schedule here.
    """

    calls: tuple[Call, ...]
    buffers: Mapping[str, Buffer]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    output_names: tuple[str, ...]
    fallback: Mapping[str, int]

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


def constant_bytes(spec: AnySpec, constant: Constant) -> int:
    """Bytes of constants a kernel needs, before padding to blocks: what the model says, whatever the packing."""
    if constant.role == "weight" and isinstance(spec, ConvSpec):
        return spec.weight_elements * 4
    if constant.role == "weight" and isinstance(spec, LinearSpec):
        return spec.in_features * spec.out_features * 4
    return int(constant.value.nbytes)
