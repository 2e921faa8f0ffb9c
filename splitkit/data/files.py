"""Samples that stay in their files: for data sets that do not fit into memory."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from splitkit.data.dataset import Samples
from splitkit.data.decode import FullScale, UnreadableError, bombs_are_errors, decode, shown
from splitkit.data.table import Files
from splitkit.data.views import crop_views
from splitkit.errors import DataError
from splitkit.space.search_space import InputSpace


@dataclass(frozen=True, slots=True, eq=False)
class FileSamples:
    """Image files and their classes; decoded by `workers` threads whenever they are asked for.

    Attributes:
        files: which, as a compact table.
        labels: int64 (n,).
        space: what is captured of each image.
        full_scale: of greys deeper than 8 bits.
    """

    files: Files
    labels: Tensor
    space: InputSpace
    workers: int
    full_scale: FullScale

    @property
    def paths(self) -> Sequence[Path]:
        """The files' paths."""
        return self.files.paths

    def __len__(self) -> int:
        return len(self.files)

    def part(self, indices: Tensor) -> "FileSamples":
        """The files at `indices`, int64 (m,)."""
        return replace(self, files=self.files.part(indices.numpy()), labels=self.labels[indices])

    def take(self, indices: Tensor) -> Samples:
        """The samples at `indices`, decoded.

        Raises:
            DataError: a file cannot be read.
        """
        paths = [self.files.path(i) for i in indices.tolist()]
        # Threads: Pillow decodes and scales outside the interpreter lock.
        with bombs_are_errors(), ThreadPoolExecutor(self.workers) as pool:
            images = list(pool.map(self._decode, paths))
        shape = (0, self.space.channels, self.space.size, self.space.size)
        stacked = np.stack(images) if images else np.zeros(shape, dtype=np.uint8)
        return Samples(crop_views(torch.from_numpy(stacked), self.space.views), self.labels[indices])

    def _decode(self, path: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
        try:
            return decode(path, self.space.channels, self.space.size, self.full_scale)
        except UnreadableError as error:
            raise DataError(f"{shown(path)}: {error}", "take it out of the folder and go on") from error
