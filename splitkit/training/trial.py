"""Candidates fine-tuned a little, to see what becomes of them: on training images outside the search slice."""

from collections.abc import Generator, Sequence

from torch import Tensor

from splitkit.data import Dataset
from splitkit.scores import ImageScores
from splitkit.space.architecture import Architecture
from splitkit.supernet import SubNetwork, Supernet, extract
from splitkit.training.config import FineTuneConfig
from splitkit.training.evaluation import score_subnetwork
from splitkit.training.finetune import fine_tune
from splitkit.training.parallel import Check, in_parallel


class FineTuner:
    """Fine-tunes sub-networks on `data.train` and scores them on `data.search`, which they never see.

    Args:
        supernet: left as it is; gives the weights that are started from.
        calibration: training images from which statistics and link range are taken.
        config: optimiser and schedule; its steps are replaced by those asked for.
    """

    def __init__(self, supernet: Supernet, data: Dataset, calibration: Tensor, config: FineTuneConfig) -> None:
        self.supernet = supernet
        self.data = data
        self.calibration = calibration.to(next(supernet.parameters()).device)
        self.config = config
        self._networks: dict[tuple[Architecture, tuple[int, ...]], SubNetwork] = {}

    def tune(
        self, architectures: Sequence[Architecture], schedule: Sequence[int]
    ) -> Generator[ImageScores, None, None]:
        """Scores of each after fine-tuning for these steps, one run after the other; several networks at once.

        A run goes on from the one before it where that was the last one asked for of this architecture, else all of
        them are made again: both come to the same weights.
        """

        def scores(architecture: Architecture, check: Check) -> ImageScores:
            return score_subnetwork(self._network(architecture, tuple(schedule), check), self.data.search)

        return in_parallel(scores, self.supernet, architectures, self.config.batch)

    def _network(self, architecture: Architecture, schedule: tuple[int, ...], check: Check) -> SubNetwork:
        if not schedule:
            return extract(self.supernet, architecture, self.calibration)
        *before, steps = schedule
        network = self._networks.pop((architecture, tuple(before)), None)
        if network is None:
            network = self._network(architecture, tuple(before), check)
        config = self.config.model_copy(
            update={
                "steps": steps,
                "warmup_steps": min(self.config.warmup_steps, steps // 4),
                "seed": self.config.seed + len(before),
            }
        )
        fine_tune(network, self.data.train, self.data.augmentation, config, report=lambda _: check())
        self._networks[architecture, schedule] = network
        return network
