"""Point-wise functions of one byte: computed in double precision once, and looked up ever after."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from splitkit.graphs.reading.graph import Array, Node

Doubles = NDArray[np.float64]


def _gelu(x: Doubles) -> Doubles:
    return np.asarray(0.5 * x * (1 + erf(x * 0.5**0.5)))


def _clip(node: Node, x: Doubles, *bounds: Any) -> Doubles:
    names = list(node.inputs[1:3])
    given = dict(zip([name for name in names if name], bounds, strict=True))
    low, high = (given[name] if name else None for name in [*names, "", ""][:2])
    return np.asarray(np.clip(x, low, high)) if low is not None or high is not None else x


FUNCTIONS: Mapping[str, Callable[..., Doubles]] = {
    "Add": lambda node, a, b: a + b,
    "Clip": _clip,
    "Div": lambda node, a, b: a / b,
    "Erf": lambda node, x: erf(x),
    "Gelu": lambda node, x: _gelu(x),
    "HardSigmoid": lambda node, x: np.clip(node.attrs.get("alpha", 0.2) * x + node.attrs.get("beta", 0.5), 0, 1),
    "HardSwish": lambda node, x: x * np.clip(x / 6 + 0.5, 0, 1),
    "Identity": lambda node, x: x,
    "LeakyRelu": lambda node, x: np.where(x < 0, x * node.attrs.get("alpha", 0.01), x),
    "Mul": lambda node, a, b: a * b,
    "Relu": lambda node, x: np.maximum(x, 0),
    "Sigmoid": lambda node, x: 1 / (1 + np.exp(-x)),
    "Sub": lambda node, a, b: a - b,
    "Tanh": lambda node, x: np.tanh(x),
}
"""By operator: of the node and its operands."""


def table(
    nodes: Sequence[Node], source: str, constants: Mapping[str, Array],
    scale: float, zero: int, lowest: int, out_scale: float, out_zero: int,
) -> Doubles:  # fmt: skip
    """What 256 bytes, counted as unsigned ones, become, in steps of the output and not yet bounded.

    Entry i is of the byte i; of signed bytes it is that of i - 256 from 128 on. Halves are rounded to even.

    Args:
        nodes: in order; the last makes the result.
        source: the tensor that the first ones read.
        lowest: of the source's dtype: 0 or -128.
    """
    steps = np.arange(256)
    if lowest < 0:
        steps = steps.astype(np.uint8).view(np.int8)
    values: dict[str, Any] = {source: (steps.astype(np.float64) - zero) * scale}
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        for node in nodes:
            given = [name for name in node.inputs if name]
            operands = [values[n] if n in values else float(constants[n].reshape(-1)[0]) for n in given]
            values[node.output] = FUNCTIONS[node.op](node, *operands)
        found = np.nan_to_num(values[nodes[-1].output], posinf=1e30, neginf=-1e30)
        return np.asarray(np.rint(found / out_scale) + out_zero)
