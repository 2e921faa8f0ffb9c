"""A network that nobody searched, in a space's own terms: the outline of the space, MobileNetV2's blocks.

Sandler et al., "MobileNetV2", CVPR 2018: inverted residuals with 3x3 depthwise convolutions, an expansion of 6 (1 in a
phase that keeps its resolution), ReLU6, linear bottlenecks, no squeeze-excite, and a last convolution of four times the
channels (320 to 1280). Resolution, strides and number of classes are the space's; widths and depths are the middle ones
of its choices, so that the network is one of its size.
"""

from collections.abc import Sequence
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
    return fixed, fixed.smallest(0)


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
