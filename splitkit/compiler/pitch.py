"""How tensors of bytes lie: all channels of a pixel side by side, (N, H, W, pitch). Those past C hold anything."""

from math import ceil


def pitch_for(channels: int) -> int:
    """Bytes from one pixel to the next: whole words, from four channels on whole double words."""
    return 4 if channels <= 4 else 8 * ceil(channels / 8)
