"""2-D convolutions: pointwise, dense, grouped and depthwise are one specification with two ways to become code."""

from dataclasses import dataclass, field
from math import ceil, prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.attributes import pair, quad
from splitkit.compiler.codegen.tiling import Tile
from splitkit.compiler.epilogue import Epilogue
from splitkit.compiler.kernels import wording
from splitkit.compiler.kernels.linear import LinearSpec, constants
from splitkit.compiler.kernels.protocol import SHORT, UNSAID, KernelFunction, KernelSpec, Physical
from splitkit.compiler.machine import Machine
from splitkit.compiler.packing import packed_shape
from splitkit.compiler.program import Constant
from splitkit.errors import ModelError

if TYPE_CHECKING:
    from splitkit.compiler.grouping import Group
    from splitkit.compiler.selection import Selector


@dataclass(frozen=True)
class ConvSpec(KernelSpec):
    """2-D convolution. Operands in order: input, [scale], weight, [bias], [residual], output.

    Attributes:
        size: input height and width; `padding` is top, left, bottom, right.
        in_block, out_block: channels per packed block of the input and the output.
        input_scale: the input is first multiplied by a per-channel vector (squeeze-excite), operand `scale`,
            shape (batch, in_channels) packed like the input's channels.
        tile: what tuning chose; None leaves it to the rules.
    """

    kind: ClassVar[str] = "conv"
    batch: int
    in_channels: int
    out_channels: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    in_block: int = 1
    out_block: int = 1
    input_scale: bool = False
    epilogue: Epilogue = field(default_factory=Epilogue)
    tile: Tile | None = field(default=None, metadata=UNSAID)
    dtype: str = field(default="float32", metadata=UNSAID)

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
        if self.groups == 1:
            return "pointwise" if self.kernel == (1, 1) else "dense"
        return "depthwise" if self.groups == self.in_channels == self.out_channels else "grouped"

    @property
    def macs(self) -> int:
        per_output = prod(self.kernel) * self.in_channels // self.groups
        return self.batch * self.out_channels * prod(self.out_size) * per_output

    @property
    def weight_elements(self) -> int:
        return self.out_channels * self.in_channels // self.groups * prod(self.kernel)

    def label(self) -> str:
        (h, w), (oh, ow) = self.size, self.out_size
        batch = f"{self.batch}x" if self.batch > 1 else ""
        dilation = f" d={self.dilation[0]}" if self.dilation != (1, 1) else ""
        scale = " scale+" if self.input_scale else ""
        window = f"k={wording.pair(self.kernel)} s={wording.pair(self.stride)} p={wording.pads(self.padding)}{dilation}"
        shapes = f"{batch}{self.in_channels}x{h}x{w}->{self.out_channels}x{oh}x{ow}{scale}{self.epilogue.label()}"
        layout = f"{SHORT[self.dtype]} nchw{self.in_block}c->{self.out_block}c{wording.tile(self.tile)}"
        return f"conv {window} g={self.groups} {shapes} {layout}"

    def emit(self, machine: Machine) -> KernelFunction:
        from splitkit.compiler.kernels import dense, depthwise

        return depthwise.emit(self, machine) if depthwise.applies(self) else dense.emit(self, machine)

    def pack(self, role: str, value: NDArray[Any], machine: Machine) -> NDArray[np.float32]:
        """Weights are OIHW, a bias (out,)."""
        from splitkit.compiler.kernels import dense, depthwise

        value = np.ascontiguousarray(value, np.float32)
        if depthwise.applies(self):
            return depthwise.pack(self, value) if role == "weight" else depthwise.pack_bias(self, value)
        return dense.pack(self, value, machine) if role == "weight" else dense.pack_bias(self, value, machine)

    def packs_alike(self) -> str:
        return repr(self)

    def constant_bytes(self, role: str, value: NDArray[Any]) -> int:
        return 4 * self.weight_elements if role == "weight" else int(value.nbytes)

    def tiles(self, machine: Machine) -> tuple[Tile, ...]:
        from splitkit.compiler.kernels import dense, depthwise

        return depthwise.candidates(self, machine) if depthwise.applies(self) else dense.candidates(self, machine)

    def tiled_as(self, machine: Machine) -> Any:
        from splitkit.compiler.kernels import dense, depthwise

        return depthwise.plan(self, machine) if depthwise.applies(self) else dense.plan(self, machine)

    def sample(self, rng: np.random.Generator) -> "list[Physical | Constant]":
        out = packed_shape(self.batch, self.out_channels, self.out_size, self.out_block), self.dtype
        weight = rng.uniform(-1, 1, (self.out_channels, self.in_channels // self.groups, *self.kernel))
        found: list[Physical | Constant] = [
            (packed_shape(self.batch, self.in_channels, self.size, self.in_block), self.dtype)
        ]
        if self.input_scale:
            found.append((packed_shape(self.batch, self.in_channels, (1, 1), self.in_block), self.dtype))
        found.append(Constant(weight.astype(np.float32), "weight"))
        if self.epilogue.bias:
            found.append(Constant(rng.uniform(-1, 1, self.out_channels).astype(np.float32), "bias"))
        return [*found, *([out] if self.epilogue.residual else []), out]

    @classmethod
    def select(cls, group: "Group", to: "Selector") -> None:
        node = group.nodes[0]
        weight = to.graph.constants[node.inputs[1]]
        (n, c, h, w), out = to.type(group.data).shape, to.type(group.output).shape
        stride = pair(node.attrs.get("strides", (1, 1)))
        dilation = pair(node.attrs.get("dilations", (1, 1)))
        kernel = (weight.shape[2], weight.shape[3])
        padding = quad(node.attrs.get("pads", (0, 0, 0, 0)))
        groups = node.attrs.get("group", 1)
        in_block, out_block = to.block(group.data), to.block(group.output)
        if kernel == (1, 1) == (h, w) == out[2:] and groups == 1:
            _one_pixel(group, to)
            return
        spec = cls(
            n, c, out[1], (h, w), kernel, stride, padding, dilation, groups, in_block, out_block,
            group.scale is not None, group.epilogue,
        )  # fmt: skip
        if spec.out_size != out[2:]:
            raise ModelError(f"node {node.name!r} (Conv): output size {out[2:]} is not the {spec.out_size} it computes")
        operands: list[str | Constant] = [to.read(group.data, in_block)]
        if group.scale is not None:
            operands.append(to.read(group.scale, to.block(group.scale)))
        operands += constants(group, to)
        if group.residual is not None:
            operands.append(to.read(group.residual, out_block))
        to.call(spec, [*operands, to.make(group.output, out_block)], node.name)


def _one_pixel(group: "Group", to: "Selector") -> None:
    """A 1x1 convolution of one pixel is a matrix product over padded channel vectors."""
    node, (batch, *_) = group.nodes[0], to.type(group.data).shape
    weight, in_block, out_block = to.graph.constants[node.inputs[1]], to.block(group.data), to.block(group.output)
    rows, columns = (ceil(s / b) * b for s, b in zip(weight.shape[:2], (out_block, in_block), strict=True))
    matrix = np.zeros((rows, columns), np.float32)
    matrix[: weight.shape[0], : weight.shape[1]] = weight[:, :, 0, 0]
    operands: list[str | Constant] = [to.read(group.data, in_block), Constant(matrix, "weight")]
    if group.epilogue.bias:
        bias = to.graph.constants[node.inputs[2]]
        operands.append(Constant(np.pad(bias, (0, rows - len(bias))), "bias"))
    spec = LinearSpec(batch, columns, rows, group.epilogue)
    to.call(spec, [*operands, to.make(group.output, out_block)], node.name)
