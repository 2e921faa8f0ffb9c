"""Batches that are decoded before they are asked for, so that what is done with one need not wait for the next."""

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

import torch
from torch import Tensor

from splitkit.data.dataset import Joined, Samples, SampleSource
from splitkit.data.decode import leave_warnings_alone

AHEAD = 2
"""Batches that are decoded, or being decoded, while one is used: so much more is in memory."""


class ReadAhead:
    """The batches of a source by number, each the same as if it were taken when it is asked for.

    One thread takes them in order, with the source's own workers; what is in memory already is not read ahead. A file
    that cannot be read is an error at the batch that it belongs to. Use from one thread, and `close` at the end.
    """

    def __init__(self, source: SampleSource, indices: Callable[[int], Tensor | None], ahead: int = AHEAD) -> None:
        """Nothing is read before the first batch is asked for.

        Args:
            source: where samples come from.
            indices: those of a batch, int64 (m,), by its number; None behind the last one. Asked in rising order where
                the batches are.
            ahead: batches that are taken ahead of the one that is asked for.
        """
        self._source, self._indices = source, indices
        self._ahead = 0 if _in_memory(source) else ahead
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: dict[int, Future[Samples]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up what was read ahead; the batch that is being read is waited for."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._pool = None
        self._waiting.clear()

    def __getitem__(self, number: int) -> Samples:
        """One batch; the following ones are begun.

        Raises:
            IndexError: there is no such batch.
            DataError: a file of it cannot be read.
        """
        if number not in self._waiting:
            self.close()
            if (indices := self._indices(number)) is None:
                raise IndexError(number)
            if not self._ahead:
                return self._source.take(indices)
            self._begin(number, indices)
        wanted = self._waiting.pop(number)
        for later in range(number + 1, number + 1 + self._ahead):
            if later not in self._waiting:
                if (indices := self._indices(later)) is None:
                    break
                self._begin(later, indices)
        return wanted.result()

    def _begin(self, number: int, indices: Tensor) -> None:
        if self._pool is None:
            # Filters of warnings belong to the process, so none can be set for a while from beside the main thread.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            self._pool = ThreadPoolExecutor(1, "read-ahead", initializer=leave_warnings_alone)
        self._waiting[number] = self._pool.submit(self._source.take, indices)


def batches_of(samples: SampleSource, size: int) -> Iterator[Samples]:
    """All samples in order, `size` at a time; of files the next ones are decoded meanwhile."""

    def indices(number: int) -> Tensor | None:
        start = number * size
        return torch.arange(start, min(start + size, len(samples))) if start < len(samples) else None

    with ReadAhead(samples, indices) as ahead:
        for number in range(-(-len(samples) // size)):
            yield ahead[number]


def _in_memory(source: SampleSource) -> bool:
    if isinstance(source, Joined):
        return _in_memory(source.first) and _in_memory(source.second)
    return isinstance(source, Samples)
