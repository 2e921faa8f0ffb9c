"""The compiler: an ONNX graph is simplified, grouped, given kernels, placed in memory and turned into code.

`kernels/` has one file per family of kernels, `codegen/` what they share: register tiles, borders, vectors, threads.
Modules that generate code import tvm; importing this package does not.
"""
