"""Channel-packed activations: C channels in blocks of v lie as (N, ceil(C/v), H, W, v); those past C are zero."""

from math import ceil


def packed_shape(batch: int, channels: int, size: tuple[int, int], block: int) -> tuple[int, int, int, int, int]:
    """Shape of a packed activation: (N, ceil(C/v), H, W, v); v = 1 is plain NCHW with an axis more."""
    return batch, ceil(channels / block), *size, block
