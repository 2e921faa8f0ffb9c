"""Units: the pieces a network is chained from, each with concrete channels and sizes, and their operators.

A unit knows nothing of where in a network it stands, so that equal units share one row of every table. `batch` is the
number of views that pass through it at once: 1 on a sensor and behind the splitting module, V ahead of it when the
whole network runs on the aggregator.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from splitkit.space.operators import Operator
from splitkit.space.search_space import round_channels
from splitkit.space.tensor import TensorSpec

SQUEEZE_RATIO = 4

_Join = Literal["add", "scale"]
_Unary = Literal[
    "cast", "resize", "normalise", "pool", "flatten", "quantise", "dequantise",
    "stack_views", "sum_views", "mean_views", "max_views", "softmax_views", "share_views",
]  # fmt: skip
_Views = Literal["sum_views", "max_views", "softmax_views"]

PRESENT = "present"
"""Graph input of an aggregator whose frames may lack views."""


class Unit(Protocol):
    """Anything that turns input tensors into one output tensor."""

    def operators(self, inputs: tuple[TensorSpec, ...], slot: str) -> list[Operator]:
        """Operators in order; the last one's output is the unit's. TensorSpec names begin with `slot`."""
        ...

    def input_tensors(self) -> tuple[TensorSpec, ...]:
        """The inputs it expects, named as in a graph of its own."""
        ...


class _Chain:
    """Collects operators, feeding each one the output of the one before."""

    def __init__(self, source: TensorSpec, slot: str) -> None:
        self.operators: list[Operator] = []
        self.at = source
        self.slot = slot

    def conv(self, name: str, channels: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        batch, _, height, width = self.at.shape
        shape = (batch, channels, -(-height // stride), -(-width // stride))
        out = TensorSpec(f"{self.slot}.{name}", shape)
        self._add(Operator("conv", (self.at,), out, kernel=kernel, stride=stride, groups=groups))

    def linear(self, name: str, features: int) -> None:
        out = TensorSpec(f"{self.slot}.{name}", (self.at.shape[0], features))
        self._add(Operator("linear", (self.at,), out))

    def activation(self, function: str) -> None:
        out = TensorSpec(f"{self.at.name}.{function}", self.at.shape)
        self._add(Operator("activation", (self.at,), out, activation=function))

    def join(self, kind: _Join, name: str, other: TensorSpec) -> None:
        self._add(Operator(kind, (other, self.at), TensorSpec(f"{self.slot}.{name}", other.shape)))

    def over_views(self, kind: _Views, name: str, shape: tuple[int, ...], counts: tuple[TensorSpec, ...]) -> None:
        """An operator over views, with what each of them counts for, if anything is said of that."""
        self._add(Operator(kind, (self.at, *counts), TensorSpec(f"{self.slot}.{name}", shape)))

    def share(self, present: TensorSpec) -> None:
        """What each view that is there counts for in a mean over them."""
        self.at = present
        self.to("share_views", "share", present.shape)

    def to(self, kind: _Unary, name: str, shape: tuple[int, ...], dtype: str = "float32") -> None:
        self._add(Operator(kind, (self.at,), TensorSpec(f"{self.slot}.{name}", shape, dtype)))

    def _add(self, operator: Operator) -> None:
        self.operators.append(operator)
        self.at = operator.output


@dataclass(frozen=True, slots=True)
class Stem:
    """Captured uint8 image (batch, channels, capture, capture) -> resize, normalise, convolution, activation."""

    batch: int
    channels: int
    capture: int
    resolution: int
    width: int
    kernel: int
    stride: int
    activation: str

    def input_tensors(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec("image", (self.batch, self.channels, self.capture, self.capture), "uint8"),)

    def operators(self, inputs: tuple[TensorSpec, ...], slot: str) -> list[Operator]:
        chain = _Chain(inputs[0], slot)
        chain.to("cast", "pixels", inputs[0].shape)
        shape = (self.batch, self.channels, self.resolution, self.resolution)
        if self.resolution != self.capture:
            chain.to("resize", "resized", shape)
        chain.to("normalise", "normalised", shape)
        chain.conv("conv", self.width, self.kernel, self.stride)
        chain.activation(self.activation)
        return chain.operators


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a phase, input (batch, in_channels, size, size), with a residual where shapes allow.

    `inverted`: the inverted residual (MBConv): expand 1x1, depthwise kxk, squeeze-excite, project 1x1 (Sandler et al.,
    CVPR 2018; Howard et al., ICCV 2019 for squeeze-excite between depthwise and project). With `expand` 1 the first
    convolution is left out.

    `fused`: expand and depthwise are one dense kxk convolution (Gupta & Akin, 2020; Tan & Le, ICML 2021, section 3.2):
    more multiply-adds, at several times the rate. With `expand` 1 there is nothing to project: one kxk convolution.
    """

    batch: int
    in_channels: int
    out_channels: int
    size: int
    kind: str
    expand: int
    kernel: int
    stride: int
    squeeze_excite: bool
    activation: str

    @property
    def plain(self) -> bool:
        """Whether it is a single convolution."""
        return self.kind == "fused" and self.expand == 1

    @property
    def inner_channels(self) -> int:
        """Channels ahead of the projection."""
        if self.plain:
            return self.out_channels
        return self.in_channels if self.expand == 1 else round_channels(self.in_channels * self.expand)

    @property
    def squeezed_channels(self) -> int:
        """Channels between the two layers of squeeze-excite."""
        return round_channels(self.inner_channels / SQUEEZE_RATIO)

    @property
    def residual(self) -> bool:
        """Whether the input is added to the output."""
        return self.stride == 1 and self.in_channels == self.out_channels

    def input_tensors(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec("input", (self.batch, self.in_channels, self.size, self.size)),)

    def operators(self, inputs: tuple[TensorSpec, ...], slot: str) -> list[Operator]:
        chain = _Chain(inputs[0], slot)
        inner = self.inner_channels
        if self.kind == "fused":
            # Each shape of block has weights of its own: what a convolution is for depends on what follows it.
            chain.conv("dense" if self.plain else "fused", inner, self.kernel, self.stride)
        else:
            if self.expand != 1:
                chain.conv("expand", inner)
                chain.activation(self.activation)
            chain.conv("depthwise", inner, self.kernel, self.stride, groups=inner)
        chain.activation(self.activation)
        if self.squeeze_excite:
            features = chain.at
            chain.to("pool", "squeeze", (self.batch, inner, 1, 1))
            chain.conv("squeeze_reduce", self.squeezed_channels)
            chain.activation("relu")
            chain.conv("squeeze_expand", inner)
            chain.activation("hard_sigmoid")
            chain.join("scale", "excited", features)
        if not self.plain:
            chain.conv("project" if self.kind == "inverted" else "fused_project", self.out_channels)
        if self.residual:
            chain.join("add", "sum", inputs[0])
        return chain.operators


@dataclass(frozen=True, slots=True)
class Head:
    """Features (batch, in_channels, size, size) -> 1x1 conv, global average pool, [features], class scores."""

    batch: int
    in_channels: int
    size: int
    conv_channels: int
    features: int
    classes: int
    activation: str

    def input_tensors(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec("input", (self.batch, self.in_channels, self.size, self.size)),)

    def operators(self, inputs: tuple[TensorSpec, ...], slot: str) -> list[Operator]:
        chain = _Chain(inputs[0], slot)
        chain.conv("conv", self.conv_channels)
        chain.activation(self.activation)
        chain.to("pool", "pool", (self.batch, self.conv_channels, 1, 1))
        chain.to("flatten", "flat", (self.batch, self.conv_channels))
        if self.features:
            chain.linear("features", self.features)
            chain.activation(self.activation)
        chain.linear("scores", self.classes)
        return chain.operators


@dataclass(frozen=True, slots=True)
class Reduce:
    """Sensor side of the splitting module: 1x1 conv to `link_channels`, then cast or quantise to `dtype`.

    `linked` is false when the module stands inside one graph (the all-on-aggregator multi-view system): nothing is
    cast then.
    """

    batch: int
    in_channels: int
    link_channels: int
    size: int
    dtype: str
    linked: bool = True

    def input_tensors(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec("input", (self.batch, self.in_channels, self.size, self.size)),)

    def operators(self, inputs: tuple[TensorSpec, ...], slot: str) -> list[Operator]:
        chain = _Chain(inputs[0], slot)
        chain.conv("reduce", self.link_channels)
        if self.linked and self.dtype == "uint8":
            chain.to("quantise", "link", chain.at.shape, "uint8")
        elif self.linked and self.dtype == "float16":
            chain.to("cast", "link", chain.at.shape, "float16")
        return chain.operators


@dataclass(frozen=True, slots=True)
class Fuse:
    """Aggregator side of the splitting module: the views are joined, then a 1x1 conv.

    Input (views, link_channels, size, size): the views are the batch of its one input. With one view this is
    `recover`.

    Attributes:
        linked: as in `Reduce`.
        fusion: `concat`: along their channels. `sum`, `mean`, `max`: element by element (max is the view pooling of Su
            et al., ICCV 2015, section 3.2). `attention`: a sum, weighted by the softmax over views of a linear function
            of each view's averaged features.
        masked: a second input says which views are there, and the others count for nothing: they are zeros in `concat`,
            which magnifies the rest as dropout does; `sum`, `mean`, `max` and `attention` are over those that are.
    """

    views: int
    link_channels: int
    out_channels: int
    size: int
    dtype: str
    linked: bool = True
    fusion: str = "concat"
    masked: bool = False

    def input_tensors(self) -> tuple[TensorSpec, ...]:
        dtype = self.dtype if self.linked else "float32"
        views = TensorSpec("views", (self.views, self.link_channels, self.size, self.size), dtype)
        return (views, *_present(self.views, self.masked))

    def operators(self, inputs: tuple[TensorSpec, ...], slot: str) -> list[Operator]:
        chain = _Chain(inputs[0], slot)
        if self.linked and self.dtype == "uint8":
            chain.to("dequantise", "received", chain.at.shape)
        elif self.linked and self.dtype == "float16":
            chain.to("cast", "received", chain.at.shape)
        if self.views > 1:
            self._join(chain, inputs[1:])
        # The weights of joined views are others than those of views side by side.
        chain.conv("fuse" if self.fusion == "concat" else "fuse_joined", self.out_channels)
        return chain.operators

    def _join(self, chain: _Chain, present: tuple[TensorSpec, ...]) -> None:
        features, joined = chain.at, (1, self.link_channels, self.size, self.size)
        match self.fusion:
            case "concat":
                if present:
                    chain.share(present[0])
                    chain.join("scale", "shared_out", features)
                chain.to("stack_views", "stacked", (1, self.views * self.link_channels, self.size, self.size))
            case "attention":
                chain.to("pool", "seen", (self.views, self.link_channels, 1, 1))
                chain.conv("attend", 1)
                chain.over_views("softmax_views", "attention", (self.views, 1, 1, 1), present)
                attention, chain.at = chain.at, features
                chain.over_views("sum_views", "joined", joined, (attention,))
            case "sum":
                chain.over_views("sum_views", "joined", joined, present)
            case "mean" if present:
                chain.share(present[0])
                share, chain.at = chain.at, features
                chain.over_views("sum_views", "joined", joined, (share,))
            case "mean":
                chain.to("mean_views", "joined", joined)
            case "max":
                chain.over_views("max_views", "joined", joined, present)


@dataclass(frozen=True, slots=True)
class Send:
    """Ahead of a plain cut: features (1, channels, size, size) cast or quantised to `dtype`, all of them."""

    channels: int
    size: int
    dtype: str

    def input_tensors(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec("input", (1, self.channels, self.size, self.size)),)

    def operators(self, inputs: tuple[TensorSpec, ...], slot: str) -> list[Operator]:
        chain = _Chain(inputs[0], slot)
        chain.to("quantise" if self.dtype == "uint8" else "cast", "link", chain.at.shape, self.dtype)
        return chain.operators


@dataclass(frozen=True, slots=True)
class Receive:
    """Behind a plain cut: what `Send` sent of every view of a batch, float32 again."""

    batch: int
    channels: int
    size: int
    dtype: str

    def input_tensors(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec("views", (self.batch, self.channels, self.size, self.size), self.dtype),)

    def operators(self, inputs: tuple[TensorSpec, ...], slot: str) -> list[Operator]:
        chain = _Chain(inputs[0], slot)
        chain.to("dequantise" if self.dtype == "uint8" else "cast", "received", chain.at.shape)
        return chain.operators


@dataclass(frozen=True, slots=True)
class MeanScores:
    """Late fusion: class scores of V sensors (views, classes) -> their mean (1, classes); `masked` as in `Fuse`."""

    views: int
    classes: int
    masked: bool = False

    def input_tensors(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec("views", (self.views, self.classes)), *_present(self.views, self.masked))

    def operators(self, inputs: tuple[TensorSpec, ...], slot: str) -> list[Operator]:
        chain = _Chain(inputs[0], slot)
        if not self.masked:
            chain.to("mean_views", "scores", (1, self.classes))
            return chain.operators
        chain.share(inputs[1])
        chain.to("flatten", "shares", (self.views, 1))
        shares, chain.at = chain.at, inputs[0]
        chain.over_views("sum_views", "scores", (1, self.classes), (shares,))
        return chain.operators


def _present(views: int, masked: bool) -> tuple[TensorSpec, ...]:
    return (TensorSpec(PRESENT, (views, 1, 1, 1)),) if masked else ()
