"""What training, search and verification are given: captured images and labels."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from splitkit.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Images as captured and their classes.

    Attributes:
        images: uint8 (n, views, channels, size, size).
        labels: int64 (n,).
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> "Samples":
        """The samples at `indices`, int64 (m,)."""
        return Samples(self.images[indices], self.labels[indices])

    def joined(self, other: "Samples") -> "Samples":
        """These samples, then the other ones."""
        return Samples(torch.cat([self.images, other.images]), torch.cat([self.labels, other.labels]))

    def to(self, device: torch.device | str) -> "Samples":
        """The same samples on a device."""
        return Samples(self.images.to(device), self.labels.to(device))


Augmentation = Callable[[Tensor, torch.Generator], Tensor]
"""uint8 (n, views, channels, size, size) -> changed images of the same shape, drawing from the generator only."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set cut into what is trained on, what the search scores on and what is opened once, at the end.

    Attributes:
        name: short name for reports.
        description: where the images come from and what was done to them.
        classes: names by label.
        train: what weights are fitted to; disjoint from `search`.
        search: a seeded slice of the training set that ranks candidates.
        augmentation: how training images are varied.
        open_test: reads the test set; see `test`.
        problems: files that could not be used, named, one line each.
    """

    name: str
    description: str
    classes: tuple[str, ...]
    train: Samples
    search: Samples
    augmentation: Augmentation
    open_test: Callable[[], Samples]
    problems: tuple[str, ...] = ()

    @cached_property
    def test(self) -> Samples:
        """The test set. For frozen choices only: nothing may be selected by what it says."""
        return self.open_test()


def carve_search_slice(samples: Samples, fraction: float, seed: int) -> tuple[Samples, Samples]:
    """(train, search): `fraction` of every class, at least one image of it, drawn with `seed`.

    Raises:
        DataError: a class has fewer than two images, so that it cannot be in both.
    """
    rng = np.random.default_rng(seed)
    labels = samples.labels.numpy()
    searched: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise DataError(f"class {label} has one training image; two are needed to train and to search")
        count = max(1, round(fraction * len(members)))
        searched.append(rng.permutation(members)[:count])
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[np.concatenate(searched)] = True
    return (
        samples.take(torch.from_numpy(np.flatnonzero(~chosen))),
        samples.take(torch.from_numpy(np.flatnonzero(chosen))),
    )
