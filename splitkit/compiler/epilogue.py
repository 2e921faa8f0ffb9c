"""What a kernel does to its results before it stores them, as data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Activation:
    """A point-wise function. `kind`: relu, clip, hard_swish, hard_sigmoid, swish, sigmoid, tanh, gelu, leaky_relu.

    `clip` uses both bounds (relu6 is clip 0..6); `hard_sigmoid` is clip(alpha x + beta, 0, 1), `leaky_relu` uses alpha.
    """

    kind: str
    low: float = 0.0
    high: float = 0.0
    alpha: float = 0.0
    beta: float = 0.0


@dataclass(frozen=True)
class Epilogue:
    """What is applied to an accumulator before it is stored, in this order: bias, activation, residual, activation.

    `residual` adds a tensor of the output's own shape and layout; `residual_activation` follows the addition.
    """

    bias: bool = False
    activation: Activation | None = None
    residual: bool = False
    residual_activation: Activation | None = None

    def label(self) -> str:
        parts = ["bias" if self.bias else None, self.activation and self.activation.kind]
        parts += ["add" if self.residual else None, self.residual_activation and self.residual_activation.kind]
        return "".join(f" +{p}" for p in parts if p)
