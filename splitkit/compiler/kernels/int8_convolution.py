"""Convolutions of bytes, and linear layers as those of one pixel: one specification with two ways to become code.

Sums begin with what the zero point of the input comes to: it is known when the kernel is packed, for every way in which
a window may hang over the image's border, so that borders are neither padded nor told apart by value.
"""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.attributes import pair, quad
from splitkit.compiler.codegen.border_cases import BorderCases
from splitkit.compiler.kernels import wording
from splitkit.compiler.kernels.protocol import SHORT, KernelFunction, KernelSpec, Physical
from splitkit.compiler.machine import Machine
from splitkit.compiler.packing import packed_shape
from splitkit.compiler.pitch import pitch_for
from splitkit.compiler.program import PLAIN, Constant

if TYPE_CHECKING:
    from splitkit.compiler.grouping import Group
    from splitkit.compiler.selection import Selector
    from splitkit.graphs.int8.requantise import Requantisation
    from splitkit.graphs.reading.graph import Graph, Node


@dataclass(frozen=True)
class Int8ConvSpec(KernelSpec):
    """2-D convolution of bytes. Operands in order: input, weight, sums, multipliers, rule, output.

    The input is (N, H, W, in_pitch), the output (N, OH, OW, out_pitch). `sums` is what each output's sum begins with,
    `multipliers` and `rule` how it becomes a byte (`graphs.int8.requantise`).

    Attributes:
        size: input height and width; `padding` is top, left, bottom, right.
        in_pitch, out_pitch: bytes from one pixel to the next.
        shifted: the input's zero point is not 0, so that a border of zeros is not one of bytes that are 0.
        bounded: the output is kept within bounds of its own, closer than those of its dtype.
    """

    kind: ClassVar[str] = "int8_conv"
    batch: int
    in_channels: int
    out_channels: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    in_pitch: int
    out_pitch: int
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    in_dtype: str = "uint8"
    dtype: str = "uint8"
    shifted: bool = True
    bounded: bool = False

    @property
    def out_size(self) -> tuple[int, int]:
        h, w = (
            (self.size[i] + self.padding[i] + self.padding[i + 2] - self.dilation[i] * (self.kernel[i] - 1) - 1)
            // self.stride[i]
            + 1
            for i in (0, 1)
        )
        return h, w

    @property
    def family(self) -> str:
        if self.size == self.kernel == (1, 1):
            return "int8_linear"
        if self.groups == 1:
            return "int8_pointwise" if self.kernel == (1, 1) else "int8_dense"
        return "int8_depthwise" if self.depthwise else "int8_grouped"

    @property
    def depthwise(self) -> bool:
        """Whether every channel is a group of its own."""
        return self.groups == self.in_channels == self.out_channels and self.groups > 1

    @property
    def macs(self) -> int:
        per_output = prod(self.kernel) * self.in_channels // self.groups
        return self.batch * self.out_channels * prod(self.out_size) * per_output

    def label(self) -> str:
        (h, w), (oh, ow) = self.size, self.out_size
        batch = f"{self.batch}x" if self.batch > 1 else ""
        dilation = f" d={self.dilation[0]}" if self.dilation != (1, 1) else ""
        window = f"k={wording.pair(self.kernel)} s={wording.pair(self.stride)} p={wording.pads(self.padding)}{dilation}"
        shapes = f"{batch}{self.in_channels}x{h}x{w}->{self.out_channels}x{oh}x{ow}"
        dtypes = f"{SHORT[self.in_dtype]}->{SHORT[self.dtype]}"
        return f"conv {window} g={self.groups} {shapes} {dtypes} nhwc{self.in_pitch}->{self.out_pitch}"

    def emit(self, machine: Machine) -> KernelFunction:
        kernel: KernelFunction = self._way(machine).emit(self, machine)
        return kernel

    def pack(self, role: str, value: NDArray[Any], machine: Machine) -> NDArray[Any]:
        """Weights are OIHW; sums (2, cases, out), those of unmoved activations and the sums of the weights inside."""
        if role == "raw":
            return np.ascontiguousarray(value)
        packed: NDArray[Any] = self._way(machine).pack(self, role, value, machine)
        return packed

    def _way(self, machine: Machine) -> Any:
        """The module that makes code of it."""
        from splitkit.compiler.codegen.dot import unit_for
        from splitkit.compiler.kernels import int8_dense, int8_depthwise, int8_rows

        if self.depthwise:
            return int8_depthwise
        return int8_rows if unit_for(machine, self.in_dtype).inner else int8_dense

    def packs_alike(self) -> str:
        return repr(self)

    def sample(self, rng: np.random.Generator) -> "list[Physical | Constant]":
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel)
        weight = rng.integers(-127, 128, shape).astype(np.int8)
        bias = rng.integers(-1000, 1000, self.out_channels)
        multipliers = rng.integers(2**30, 2**31, self.out_channels).astype(np.int32)
        return [
            (packed_shape(self.batch, self.in_channels, self.size, self.in_pitch), self.in_dtype),
            *constants(self, weight, bias, 3, multipliers, np.array([1 << 9, 8, 0, 255], np.int32)),
            (packed_shape(self.batch, self.out_channels, self.out_size, self.out_pitch), self.dtype),
        ]

    @classmethod
    def takes(cls, node: "Node", graph: "Graph") -> bool:
        return node.op in ("IntegerConv", "IntegerLinear")

    @classmethod
    def select(cls, group: "Group", to: "Selector") -> None:
        node = group.nodes[0]
        x, out = to.type(group.data), to.type(group.output)
        weight, bias = (to.graph.constants[name] for name in node.inputs[1:])
        attrs = node.attrs
        rule: Requantisation = attrs["rule"]
        if node.op == "IntegerLinear":
            weight = weight[:, :, None, None]
            batch, channels = prod(x.shape[:-1]), x.shape[-1]
            layouts = (PLAIN, PLAIN)
            spec = cls(
                batch, channels, out.shape[-1], (1, 1), (1, 1), channels, out.shape[-1],
                in_dtype=x.dtype, dtype=out.dtype, shifted=attrs["zero"] != 0, bounded=bounded(rule, out.dtype),
            )  # fmt: skip
        else:
            n, c, h, w = x.shape
            layouts = (pitch_for(c), pitch_for(out.shape[1]))
            spec = cls(
                n, c, out.shape[1], (h, w), (weight.shape[2], weight.shape[3]), *layouts,
                pair(attrs.get("strides", (1, 1))), quad(attrs.get("pads", (0, 0, 0, 0))),
                pair(attrs.get("dilations", (1, 1))), attrs.get("group", 1), x.dtype, out.dtype,
                attrs["zero"] != 0, bounded(rule, out.dtype),
            )  # fmt: skip
        operands: list[str | Constant] = [
            to.read(group.data, layouts[0]),
            *constants(spec, weight, bias, attrs["zero"], rule.multipliers, numbers(rule)),
            to.make(group.output, layouts[1]),
        ]
        to.call(spec, operands, node.name)


def bounded(rule: Any, dtype: str) -> bool:
    """Whether a rule's bounds are closer than those of the dtype."""
    info = np.iinfo(dtype)
    return (rule.low, rule.high) != (info.min, info.max)


def numbers(rule: Any) -> NDArray[np.int32]:
    """A rule as kernels read it."""
    return np.array([rule.offset, rule.shift, rule.low, rule.high], np.int32)


def constants(
    spec: Int8ConvSpec, weight: NDArray[Any], bias: NDArray[Any], zero: int, multipliers: NDArray[Any],
    rule: NDArray[np.int32],
) -> list[Constant]:  # fmt: skip
    """The constant operands, in order."""
    whole = weight.astype(np.int64)
    inside = np.stack([whole[:, :, rows, columns].sum((1, 2, 3)) for rows, columns in BorderCases(spec).insides()])
    sums = np.stack([bias.astype(np.int64) - zero * inside, inside])
    return [
        Constant(weight.astype(np.int8), "weight"),
        Constant(sums, "sums"),
        Constant(multipliers, "multipliers"),
        Constant(rule, "raw"),
    ]
