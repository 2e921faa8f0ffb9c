"""ONNX graphs: exported from torch, rendered from operators, read, checked and cut.

Importing this imports neither onnx nor torch; the modules do as they need.
"""
