"""From an ONNX model to a graph of static shapes in one form, whatever opset it was written for."""

from splitkit.graphs.reading.reader import read_onnx

__all__ = ["read_onnx"]
