"""A network that nobody searched, in a space's own terms: the outline of the space, MobileNetV2's blocks.

Sandler et al., "MobileNetV2", CVPR 2018: inverted residuals with 3x3 depthwise convolutions, an expansion of 6 (1 in a
phase that keeps its resolution), ReLU6, linear bottlenecks, no squeeze-excite, and a last convolution of four times the
channels (320 to 1280). Resolution, strides and number of classes are the space's; widths and depths are the middle ones
of its choices, so that the network is one of its size. Several views are joined behind the last block, by their
maximum (Su et al., "Multi-view Convolutional Neural Networks", ICCV 2015).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from splitkit.space.architecture import Architecture
from splitkit.space.search_space import ActivationName, HeadSpace, PhaseSpace, SearchSpace, StemSpace

NAME = "mobilenetv2-like"

EXPAND, KERNEL, LAST_EXPAND = 6, 3, 4
ACTIVATION: ActivationName = "relu6"

T = TypeVar("T")


def mobilenet_like(space: SearchSpace) -> tuple[SearchSpace, Architecture]:
    """A space with that one network in it, cut anywhere over any link of `space`; and the network, not cut."""
    stem = StemSpace(
        widths=(_middle(space.stem.widths),), kernel=KERNEL, stride=space.stem.stride, activation=ACTIVATION
    )
    fixed = SearchSpace(
        name=NAME,
        input=space.input.model_copy(update={"resolutions": space.input.resolutions[-1:]}),
        stem=stem,
        phases=tuple(_phase(phase) for phase in space.phases),
        head=HeadSpace(classes=space.head.classes, expand=LAST_EXPAND, activation=ACTIVATION),
        link=space.link,
    )
    least = fixed.smallest(0)
    joined = replace(least, fuse=least.units - 1, fusion=_fusion(space), reduce_ratio=space.link.reduce_ratios[-1])
    return fixed, least if space.views == 1 else fixed.canonical(joined)


def _fusion(space: SearchSpace) -> str:
    """The maximum over views where the space has it."""
    return "max" if "max" in space.fusions else space.fusions[0]


def _phase(phase: PhaseSpace) -> PhaseSpace:
    """The strided block first, as MobileNetV2 has it, then as many as half of the space's networks have."""
    depth = _middle(sorted({b + a for b in phase.before for a in phase.after}))
    return PhaseSpace(
        widths=(_middle(phase.widths),),
        after=(depth,),
        kernels=(KERNEL,),
        expands=(1 if phase.stride == 1 and phase.expands[-1] == 1 else EXPAND,),
        stride=phase.stride,
        activation=ACTIVATION,
    )


def _middle(choices: Sequence[T]) -> T:
    """The middle one, of an even number the upper of both."""
    return choices[len(choices) // 2]
