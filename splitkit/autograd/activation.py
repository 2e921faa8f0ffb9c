"""Activation functions by the names that operators give them."""

import torch
import torch.nn.functional as F
from torch import Tensor


def activate(function: str, x: Tensor) -> Tensor:
    """The activation functions that operators name; empty for none."""
    match function:
        case "":
            return x
        case "relu":
            return F.relu(x)
        case "relu6":
            return F.relu6(x)
        case "hard_swish":
            return F.hardswish(x)
        case "hard_sigmoid":
            return F.hardsigmoid(x)
        case "swish":
            return x * torch.sigmoid(x)
        case _:
            raise ValueError(f"unknown activation {function!r}")
