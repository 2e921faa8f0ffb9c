"""ONNX graphs: exported from torch, rendered from operators, read, checked and cut. Importing this imports no torch."""

from splitkit.graphs.cut import Halves, cut
from splitkit.graphs.model import load_model

__all__ = ["Halves", "cut", "load_model"]
