"""Kernel specifications: everything a schedule needs to know of one kernel, and nothing of where it stands.

A specification is plain data. Its JSON is the kernel's payload, the hash of that JSON its key, so that equal kernels
of different networks share one row of the latency table. Activations are channel-packed: a tensor of C channels in
blocks of v is laid out (N, ceil(C/v), H, W, v), the channels past C being zero; v = 1 is plain NCHW.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from math import ceil, prod
from typing import Any, ClassVar


@dataclass(frozen=True)
class Activation:
    """A point-wise function. `kind`: relu, clip, hard_swish, hard_sigmoid, swish, sigmoid, tanh, gelu, leaky_relu.

    `clip` uses both bounds (relu6 is clip 0..6); `hard_sigmoid` is clip(alpha x + beta, 0, 1), `leaky_relu` uses alpha.
    """

    kind: str
    low: float = 0.0
    high: float = 0.0
    alpha: float = 0.0
    beta: float = 0.0


@dataclass(frozen=True)
class Epilogue:
    """What is applied to an accumulator before it is stored, in this order: bias, activation, residual, activation.

    `residual` adds a tensor of the output's own shape and layout; `residual_activation` follows the addition.
    """

    bias: bool = False
    activation: Activation | None = None
    residual: bool = False
    residual_activation: Activation | None = None

    def label(self) -> str:
        parts = ["bias" if self.bias else None, self.activation and self.activation.kind]
        parts += ["add" if self.residual else None, self.residual_activation and self.residual_activation.kind]
        return "".join(f" +{p}" for p in parts if p)


@dataclass(frozen=True)
class Tile:
    """How a tuned kernel is cut, instead of as the rules would: `strips` of output channels by `pixels`.

    For a linear layer the pixels are rows of the batch. A depthwise kernel has one strip.
    """

    strips: int
    pixels: int


@dataclass(frozen=True)
class ConvSpec:
    """2-D convolution, float32. Operands in order: input, [scale], weight, [bias], [residual], output.

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
    tile: Tile | None = None

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
        scale = "scale+ " if self.input_scale else ""
        return (
            f"conv k={_pair(self.kernel)} s={_pair(self.stride)} p={_pads(self.padding)}{dilation} g={self.groups} "
            f"{batch}{self.in_channels}x{h}x{w}->{self.out_channels}x{oh}x{ow} {scale}".rstrip()
            + f"{self.epilogue.label()} f32 nchw{self.in_block}c->{self.out_block}c{_tile(self.tile)}"
        )


@dataclass(frozen=True)
class LinearSpec:
    """Fully connected layer (batch, in_features) -> (batch, out_features), float32.

    Operands in order: input, weight, [bias], output. The residual of the epilogue is not used.
    """

    kind: ClassVar[str] = "linear"
    batch: int
    in_features: int
    out_features: int
    epilogue: Epilogue = field(default_factory=Epilogue)
    tile: Tile | None = None

    @property
    def family(self) -> str:
        return "linear"

    @property
    def macs(self) -> int:
        return self.batch * self.in_features * self.out_features

    def label(self) -> str:
        return (
            f"linear {self.batch}x{self.in_features}->{self.out_features}{self.epilogue.label()} f32{_tile(self.tile)}"
        )


@dataclass(frozen=True)
class PoolSpec:
    """Pooling on a packed tensor. `mode`: max, avg (`count_include_pad` as ONNX says) or global_avg.

    Operands: input, output. A global pool writes (batch, ceil(C/v) * v) values, which for packed channels is the
    plain channel order.
    """

    kind: ClassVar[str] = "pool"
    mode: str
    batch: int
    channels: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    block: int = 1
    count_include_pad: bool = False

    @property
    def out_size(self) -> tuple[int, int]:
        if self.mode == "global_avg":
            return 1, 1
        h, w = (
            (self.size[i] + self.padding[i] + self.padding[i + 2] - self.kernel[i]) // self.stride[i] + 1
            for i in (0, 1)
        )
        return h, w

    @property
    def family(self) -> str:
        return "pool"

    @property
    def macs(self) -> int:
        return 0

    def label(self) -> str:
        (h, w), (oh, ow) = self.size, self.out_size
        window = (
            ""
            if self.mode == "global_avg"
            else f" k={_pair(self.kernel)} s={_pair(self.stride)} p={_pads(self.padding)}"
        )
        batch = f"{self.batch}x" if self.batch > 1 else ""
        return (
            f"{self.mode}_pool{window} {batch}{self.channels}x{h}x{w}->{self.channels}x{oh}x{ow} f32 nchw{self.block}c"
        )


@dataclass(frozen=True)
class LayoutSpec:
    """Copy between two channel packings of one float32 tensor. Operands: input, output."""

    kind: ClassVar[str] = "layout"
    batch: int
    channels: int
    size: tuple[int, int]
    in_block: int
    out_block: int

    @property
    def family(self) -> str:
        return "layout"

    @property
    def macs(self) -> int:
        return 0

    def label(self) -> str:
        h, w = self.size
        return f"layout {self.batch}x{self.channels}x{h}x{w} f32 nchw{self.in_block}c->{self.out_block}c"


@dataclass(frozen=True)
class Operand:
    """An input of an element-wise kernel: its dtype, and which of the kernel's axes it varies over."""

    dtype: str
    axes: tuple[bool, ...]


@dataclass(frozen=True)
class Step:
    """One scalar operation. Each argument is `i<n>` (an input), `s<n>` (an earlier step) or a number.

    `op`: add, sub, mul, div, max, min, pow, neg, abs, exp, log, sqrt, reciprocal, floor, ceil, round (half to even),
    erf, copy, cast (to the dtype in `text`, the value staying float32), or the kind of an `Activation` with its
    constants as further arguments (low, high, alpha, beta).
    """

    op: str
    args: tuple[str, ...]
    text: str = ""


@dataclass(frozen=True)
class ElementwiseSpec:
    """A chain of point-wise operations, computed in float32 whatever the storage is. Operands: inputs, output.

    Attributes:
        shape: extent of every axis of the output; axes that broadcast alike are merged, the last one is contiguous.
        inputs: an operand holds only the axes it varies over, dense, in order.
        steps: the last one is the result.
        dtype: storage of the output (float32, float16, uint8, int8, bool...); integers are stored as they are cast.
    """

    kind: ClassVar[str] = "elementwise"
    shape: tuple[int, ...]
    inputs: tuple[Operand, ...]
    steps: tuple[Step, ...]
    dtype: str = "float32"

    @property
    def family(self) -> str:
        return "elementwise"

    @property
    def macs(self) -> int:
        return 0

    def label(self) -> str:
        shape = "x".join(map(str, self.shape))
        ops = "+".join(step.text or step.op for step in self.steps)
        return f"elementwise {ops} {shape} {','.join(i.dtype for i in self.inputs)}->{self.dtype}"


@dataclass(frozen=True)
class MatmulSpec:
    """Product of two activations, (batch, rows, depth) x (batch, depth, columns), float32.

    Operands: left, right, output.

    Attributes:
        shared: which operand the whole batch uses: `left`, `right` or the empty string.
    """

    kind: ClassVar[str] = "matmul"
    batch: int
    rows: int
    depth: int
    columns: int
    shared: str = ""

    @property
    def family(self) -> str:
        return "matmul"

    @property
    def macs(self) -> int:
        return self.batch * self.rows * self.depth * self.columns

    def label(self) -> str:
        shared = f" one {self.shared}" if self.shared else ""
        return f"matmul {self.batch}x{self.rows}x{self.depth} x {self.depth}x{self.columns}{shared} f32"


@dataclass(frozen=True)
class RowSpec:
    """A function of every row of a (rows, length) float32 matrix. `function`: softmax or layer_norm.

    Operands: input, output; layer_norm: input, scale (length,), [bias (length,)], output.
    """

    kind: ClassVar[str] = "row"
    function: str
    rows: int
    length: int
    epsilon: float = 0.0
    bias: bool = False

    @property
    def family(self) -> str:
        return "row"

    @property
    def macs(self) -> int:
        return 0

    def label(self) -> str:
        return f"{self.function} {self.rows}x{self.length}{' +bias' if self.bias else ''} f32"


@dataclass(frozen=True)
class ResizeSpec:
    """Bilinear resizing of plain images, and an affine function of the result. Operands: input, the fractions by which
    output rows and columns lie past the input's (float32), output (float32).

    Attributes:
        planes: batch times channels.
        coordinates: half_pixel, align_corners or asymmetric, as ONNX defines them.
        dtype: of the input, float32 or uint8.
        scale, shift: the output is scale * y + shift.
    """

    kind: ClassVar[str] = "resize"
    planes: int
    size: tuple[int, int]
    out_size: tuple[int, int]
    coordinates: str = "half_pixel"
    dtype: str = "float32"
    scale: float = 1.0
    shift: float = 0.0

    @property
    def family(self) -> str:
        return "resize"

    @property
    def macs(self) -> int:
        return 0

    def label(self) -> str:
        (h, w), (oh, ow) = self.size, self.out_size
        affine = " +affine" if (self.scale, self.shift) != (1.0, 0.0) else ""
        return f"resize {self.coordinates} {self.planes}x{h}x{w}->{self.planes}x{oh}x{ow}{affine} {self.dtype}->float32"


@dataclass(frozen=True)
class FallbackSpec:
    """A kernel of the compiler's default lowering. Operands: those of the function, in its order, output last.

    Attributes:
        name: what the compiler calls it, made of its operators.
        tir: the function as the compiler's JSON.
        shapes, dtypes: of every operand.
    """

    kind: ClassVar[str] = "fallback"
    name: str
    tir: str = field(repr=False)
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]

    @property
    def family(self) -> str:
        return "fallback"

    @property
    def macs(self) -> int:
        return 0

    def label(self) -> str:
        shapes = ["x".join(map(str, s)) or "scalar" for s in self.shapes]
        return f"fallback {self.name} {','.join(shapes[:-1])}->{shapes[-1]} {self.dtypes[-1]}"


Spec = ConvSpec | LinearSpec | PoolSpec | LayoutSpec
"""The specifications that have schedules."""

AnySpec = Spec | ElementwiseSpec | MatmulSpec | RowSpec | ResizeSpec | FallbackSpec
"""Everything that can be a kernel."""


def packed_shape(batch: int, channels: int, size: tuple[int, int], block: int) -> tuple[int, int, int, int, int]:
    """Shape of a packed activation: (N, ceil(C/v), H, W, v)."""
    return batch, ceil(channels / block), *size, block


def payload(spec: AnySpec) -> str:
    """Canonical JSON of a specification. What nobody tuned says nothing of tiles."""
    body = {"kind": spec.kind} | asdict(spec)
    if body.get("tile", "") is None:
        del body["tile"]
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


def key(spec: AnySpec) -> str:
    """Readable family and a 64-bit hash of the payload, `pointwise-9f86d081884c7d65`."""
    return f"{spec.family}-{hashlib.sha256(payload(spec).encode()).hexdigest()[:16]}"


def _pair(value: tuple[int, int]) -> str:
    return str(value[0]) if value[0] == value[1] else f"{value[0]}x{value[1]}"


def _tile(value: Tile | None) -> str:
    return f" tile {value.strips}x{value.pixels}" if value else ""


def _pads(value: tuple[int, int, int, int]) -> str:
    return str(value[0]) if len(set(value)) == 1 else ",".join(map(str, value))


def from_payload(text: str) -> AnySpec:
    """The specification a payload was made from."""
    body: dict[str, Any] = json.loads(text)
    plain = (ConvSpec, LinearSpec, PoolSpec, LayoutSpec, ElementwiseSpec)
    classes = (*plain, MatmulSpec, RowSpec, ResizeSpec, FallbackSpec)
    kinds: dict[str, type[AnySpec]] = {cls.kind: cls for cls in classes}
    cls = kinds[body.pop("kind")]
    return cls(**{name: _value(cls, name, value) for name, value in body.items()})


def _value(cls: type[AnySpec], name: str, value: Any) -> Any:
    if name == "epilogue":
        acts = {k: Activation(**value[k]) if value[k] else None for k in ("activation", "residual_activation")}
        return Epilogue(**(value | acts))
    if name == "tile":
        return Tile(**value)
    if cls is ElementwiseSpec and name == "inputs":
        return tuple(Operand(v["dtype"], tuple(v["axes"])) for v in value)
    if name == "steps":
        return tuple(Step(v["op"], tuple(v["args"]), v["text"]) for v in value)
    if name == "shapes":
        return tuple(tuple(v) for v in value)
    return tuple(value) if isinstance(value, list) else value
