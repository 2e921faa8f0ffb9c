"""What training, search and verification are given: captured images and labels."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor

from splitkit.errors import DataError


class SampleSource(Protocol):
    """Images and their classes, in memory (`Samples`) or in files that are read when they are asked for."""

    @property
    def labels(self) -> Tensor:
        """int64 (n,)."""
        ...

    def __len__(self) -> int: ...

    def take(self, indices: Tensor) -> "Samples":
        """The samples at `indices`, int64 (m,), in memory."""
        ...

    def part(self, indices: Tensor) -> Self:
        """The samples at `indices`, kept where they are."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Images as captured and their classes, in memory.

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

    def part(self, indices: Tensor) -> "Samples":
        """The same as `take`."""
        return self.take(indices)

    def to(self, device: torch.device | str) -> "Samples":
        """The same samples on a device."""
        return Samples(self.images.to(device), self.labels.to(device))


class SamplesLater(Samples):
    """Samples whose images are read when they are first asked for: training does without the search slice's."""

    __slots__ = ("_images", "_source")
    _images: Tensor | None
    _source: SampleSource

    def __init__(self, source: SampleSource) -> None:
        object.__setattr__(self, "labels", source.labels)
        object.__setattr__(self, "_source", source)
        object.__setattr__(self, "_images", None)

    @property
    def images(self) -> Tensor:
        """uint8 (n, views, channels, size, size)."""
        images = self._images
        if images is None:
            images = self._source.take(torch.arange(len(self))).images
            object.__setattr__(self, "_images", images)
        return images

    def __reduce__(self) -> tuple[type[Samples], tuple[Tensor, Tensor]]:
        """Another process is sent the images themselves."""
        return Samples, (self.images, self.labels)


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """The samples of one source, then those of another."""

    first: SampleSource
    second: SampleSource

    @property
    def labels(self) -> Tensor:
        """int64 (n,)."""
        return torch.cat([self.first.labels, self.second.labels])

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def take(self, indices: Tensor) -> Samples:
        """The samples at `indices`, int64 (m,), in memory."""
        ahead = indices < len(self.first)
        parts = (self.first.take(indices[ahead]), self.second.take(indices[~ahead] - len(self.first)))
        # Where each wanted sample stands in the two parts, one behind the other.
        order = torch.where(ahead, ahead.cumsum(0) - 1, int(ahead.sum()) + (~ahead).cumsum(0) - 1)
        images, labels = (torch.cat([getattr(part, name) for part in parts]) for name in ("images", "labels"))
        return Samples(images[order], labels[order])

    def part(self, indices: Tensor) -> "Joined":
        """The samples at `indices`: those of the first source ahead of those of the second."""
        ahead = indices < len(self.first)
        return Joined(self.first.part(indices[ahead]), self.second.part(indices[~ahead] - len(self.first)))


AS_CAPTURED = "uint8 as captured"

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
        open_test: reads the test set; see `test`. Gives the files of it that could not be used as well.
        pixels: what an image's uint8 values stand for: a sensor that is deployed has to deliver the same.
        problems: files of the training set that could not be used, one line each: "path: why".
    """

    name: str
    description: str
    classes: tuple[str, ...]
    train: SampleSource
    search: Samples
    augmentation: Augmentation
    open_test: "Callable[[], tuple[SampleSource, tuple[str, ...]]]"
    pixels: str = AS_CAPTURED
    problems: tuple[str, ...] = ()

    @property
    def all_training(self) -> Joined:
        """Everything but the test set, for networks that are chosen already: `train`, then the search slice."""
        return Joined(self.train, self.search)

    @property
    def test(self) -> SampleSource:
        """The test set. For frozen choices only: nothing may be selected by what it says."""
        return self._opened[0]

    @property
    def test_problems(self) -> tuple[str, ...]:
        """Files of the test set that could not be used, as in `problems`; opens it."""
        return self._opened[1]

    @cached_property
    def _opened(self) -> tuple[SampleSource, tuple[str, ...]]:
        return self.open_test()


def carve_search_slice(labels: Tensor, fraction: float, seed: int, most: int | None = None) -> tuple[Tensor, Tensor]:
    """Indices of (train, search): `fraction` of every class, at least one image of it, drawn with `seed`.

    `most` bounds the whole slice: classes then give up their share alike.

    Raises:
        DataError: a class has fewer than two images, so that it cannot be in both.
    """
    rng = np.random.default_rng(seed)
    found = labels.numpy()
    if most is not None:
        fraction = min(fraction, most / len(found))
    searched: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
    order = np.argsort(found, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(found[order])) + 1):
        if len(members) < 2:
            raise DataError(f"class {found[members[0]]} has one training image; two are needed to train and to search")
        count = max(1, round(fraction * len(members)))
        searched.append(rng.permutation(members)[:count])
    chosen = np.zeros(len(found), dtype=bool)
    chosen[np.concatenate(searched)] = True
    return torch.from_numpy(np.flatnonzero(~chosen)), torch.from_numpy(np.flatnonzero(chosen))
