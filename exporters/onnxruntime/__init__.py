"""ONNX Runtime: reference and baseline."""

from splitkit.exporters.onnxruntime.exporter import OnnxRuntimeExporter

__all__ = ["OnnxRuntimeExporter"]
