"""What a training step learns from, and how it is cut into parts."""

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Frames:
    """What is learnt from: images uint8 (n, views, channels, size, size), labels int64 (n,), and in a masked space
    which views are there, float32 (n, views)."""

    images: Tensor
    labels: Tensor
    present: Tensor | None

    def part(self, start: int, end: int) -> "Frames":
        """Some of them."""
        present = None if self.present is None else self.present[start:end]
        return Frames(self.images[start:end], self.labels[start:end], present)


def spans_of(images: int, parts: int) -> list[tuple[int, int]]:
    """As even as can be, the longer ones first."""
    each, longer = divmod(images, parts)
    starts = [part * each + min(part, longer) for part in range(parts + 1)]
    return list(pairwise(starts))
