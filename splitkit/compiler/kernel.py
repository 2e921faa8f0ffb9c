"""A kernel as the rest of splitkit sees it: the unit of the latency table."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Kernel:
    """What the compiler runs after fusion: the unit of the latency lookup table.

    Attributes:
        key: canonical structural hash; equal keys mean equal code, shapes, layouts and epilogues.
        label: the same in words, `conv k=3 s=2 p=1 g=96 96x40x40->96x20x20 +bias+hswish f32 nchw16c`.
        family: `pointwise`, `dense`, `depthwise`, `grouped`, `linear`, `pool`, `elementwise`, `layout`, `fallback`...
        macs: multiply-accumulates of one call.
        read_bytes, write_bytes: activations read and written by one call.
        weight_bytes: constants read by one call.
        payload: text from which the exporter that made it builds the kernel again.
        dtype: of what it writes, as numpy names it.
    """

    key: str
    label: str
    family: str
    macs: int
    read_bytes: int
    write_bytes: int
    weight_bytes: int
    payload: str = field(repr=False)
    dtype: str = "float32"
