"""Networks in integers: what a quantised ONNX model means, exactly (docs/int8.md).

`patterns` finds the operators that run in integers, `reference` computes them in numpy; every compiled kernel gives the
same bytes.
"""
