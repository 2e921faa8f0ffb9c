"""Cutting ONNX graphs, and proving that the halves equal the whole."""

from splitkit.split.cut import Halves, cut
from splitkit.split.model import load_model

__all__ = ["Halves", "cut", "load_model"]
