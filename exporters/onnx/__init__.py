"""ONNX graphs: from torch modules (`export`), and from operators without torch (`render`)."""
