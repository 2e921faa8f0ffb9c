"""What a training step computes in: float32, or bfloat16 where that is twice as fast.

In bfloat16 (mixed precision, Micikevicius et al., ICLR 2018; Kalamkar et al., 2019) convolutions and products take
operands of 8 significant bits and add up in float32, and activations are kept in half the memory. Weights, their
gradients, the optimiser, batch norm and losses are float32 as ever, and so is everything that is scored, calibrated or
exported.
"""

from contextlib import AbstractContextManager
from typing import Literal

import torch

from splitkit.space.search_space import SearchSpace
from splitkit.training.config import SMALL_MACS, Precision, largest_macs

FAST = ("avx512_bf16", "amx_bf16", "sve_bf16", "bf16")
"""Instructions for products of bfloat16, as torch names what a processor has."""


def pick_precision(
    wanted: Literal["auto", "float32", "bfloat16"], space: SearchSpace, device: torch.device
) -> Precision:
    """`auto` is bfloat16 where the device has instructions for it, but for small spaces, whose steps wait for other
    things than arithmetic."""
    if wanted != "auto":
        return wanted
    return "bfloat16" if has_bfloat16(device) and largest_macs(space) > SMALL_MACS else "float32"


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 faster than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return any(capabilities.get(name, False) for name in FAST)


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Within it, forward passes compute so."""
    # Nothing is cast twice: weights are slices, made anew in every pass.
    return torch.autocast(device.type, torch.bfloat16, precision == "bfloat16", cache_enabled=False)
