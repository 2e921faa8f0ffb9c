"""Where batch norms and the link's quantiser take their numbers from.

Sub-networks share weights but not activation statistics, so a supernet keeps none of its own. A forward pass is given
one of three sources: the batch itself (training), the batch while taking notes (`Recorder`), or the notes
(`Calibration`), which belong to one architecture (Yu & Huang, ICCV 2019, section 3.2; Cai et al., ICLR 2020).
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splitkit.autograd import normalise
from splitkit.supernet.interpret import Tail
from splitkit.supernet.link import Quantisation

EPSILON = 1e-5


class Statistics(Protocol):
    """A source of batch-norm statistics and of the link's range."""

    def normalise(self, layer: nn.Module, x: Tensor, gain: Tensor, shift: Tensor, tail: Tail) -> Tensor:
        """Batch norm of `x` (batch, c, h, w), a fresh result, with `gain` and `shift` (c,), then `tail`."""
        ...

    def quantisation(self, x: Tensor) -> Quantisation:
        """Scale and zero point for a tensor about to cross the link."""
        ...


class BatchStatistics:
    """Mean, variance and range of the batch at hand."""

    def normalise(self, layer: nn.Module, x: Tensor, gain: Tensor, shift: Tensor, tail: Tail) -> Tensor:
        return normalise(x, gain, shift, tail.activation, tail.residual, EPSILON)

    def quantisation(self, x: Tensor) -> Quantisation:
        low, high = x.detach().aminmax()
        return Quantisation.covering(low, high)


class Recorder:
    """Normalises by the batch and keeps what it saw, over any number of equally large batches."""

    def __init__(self) -> None:
        self._moments: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {}
        self._ranges: list[tuple[Tensor, Tensor]] = []

    def normalise(self, layer: nn.Module, x: Tensor, gain: Tensor, shift: Tensor, tail: Tail) -> Tensor:
        mean, variance = torch.zeros_like(gain), torch.zeros_like(gain)
        self._moments.setdefault(layer, []).append((mean, variance))
        # Momentum 1 makes batch_norm leave this batch's own moments behind.
        return tail.apply(F.batch_norm(x, mean, variance, gain, shift, training=True, momentum=1.0, eps=EPSILON))

    def quantisation(self, x: Tensor) -> Quantisation:
        low, high = x.detach().aminmax()
        self._ranges.append((low, high))
        return Quantisation.covering(low, high)

    def calibration(self) -> "Calibration":
        """Pooled moments of all batches, and the widest range."""
        moments = {layer: _pooled(noted) for layer, noted in self._moments.items()}
        link = None
        if self._ranges:
            low = torch.stack([low for low, _ in self._ranges]).min()
            high = torch.stack([high for _, high in self._ranges]).max()
            link = Quantisation.covering(low, high)
        return Calibration(moments, link)


class Calibration:
    """Frozen statistics of one architecture.

    Attributes:
        moments: mean and variance (c,) of every batch-normed layer the architecture runs.
        link: scale and zero point when its link is uint8, else None.
    """

    def __init__(self, moments: dict[nn.Module, tuple[Tensor, Tensor]], link: Quantisation | None) -> None:
        self.moments = moments
        self.link = link

    def normalise(self, layer: nn.Module, x: Tensor, gain: Tensor, shift: Tensor, tail: Tail) -> Tensor:
        mean, variance = self.moments[layer]
        return tail.apply(F.batch_norm(x, mean, variance, gain, shift, training=False, eps=EPSILON))

    def quantisation(self, x: Tensor) -> Quantisation:
        if self.link is None:
            raise ValueError("the calibrated architecture has no uint8 link")
        return self.link


def _pooled(noted: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    means = torch.stack([mean for mean, _ in noted])
    variances = torch.stack([variance for _, variance in noted])
    return means.mean(0), variances.mean(0) + means.var(0, correction=0)
