"""Operators of a training step that torch is slow at on processors, with gradients: see `normalise`, `depthwise`."""

from splitkit.autograd.depthwise import depthwise
from splitkit.autograd.normalise import normalise

__all__ = ["depthwise", "normalise"]
