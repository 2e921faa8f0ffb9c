"""Which ONNX operators are activations a kernel's epilogue can apply."""

from collections.abc import Mapping
from math import isfinite

from splitkit.compiler.epilogue import Activation
from splitkit.compiler.simplify import clip_bounds
from splitkit.graphs.reading.graph import Array, Node

_PLAIN = {"Relu": "relu", "HardSwish": "hard_swish", "Swish": "swish", "Sigmoid": "sigmoid", "Tanh": "tanh"}


def activation_of(node: Node, constants: Mapping[str, Array]) -> Activation | None:
    """The activation `node` applies to its first input, or None."""
    if node.op in _PLAIN:
        return Activation(_PLAIN[node.op])
    if node.op == "HardSigmoid":
        return Activation("hard_sigmoid", alpha=node.attrs.get("alpha", 0.2), beta=node.attrs.get("beta", 0.5))
    if node.op == "LeakyRelu":
        return Activation("leaky_relu", alpha=node.attrs.get("alpha", 0.01))
    if node.op == "Gelu" and node.attrs.get("approximate", b"none") == b"none":
        return Activation("gelu")
    if node.op == "Clip":
        bounds = clip_bounds(node, constants)
        if bounds is not None and isfinite(bounds[0]) and isfinite(bounds[1]):
            return Activation("clip", low=bounds[0], high=bounds[1])
    return None
