"""Candidates scored on a Ray cluster: each by a task of one thread, wherever a processor is free."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from splitkit import __version__
from splitkit.data import Samples
from splitkit.errors import ClusterError, SplitkitError, reason
from splitkit.scores import Score
from splitkit.space.architecture import Architecture
from splitkit.supernet import Supernet
from splitkit.training.evaluation import SupernetEvaluator, score

ATTEMPTS = 6
"""How often a candidate is tried whose worker died: more than a machine that comes and goes, fewer than a network that
is too large for the memory."""


@dataclass(frozen=True)
class Held:
    """What every worker needs: put into the cluster once, and kept by each worker from its first task on."""

    software: str
    supernet: Supernet
    search: Samples
    calibration: Tensor


class RayEvaluator:
    """Scores as a `SupernetEvaluator` does, bit for bit, on the processors of the cluster this process is connected to.

    Ray tries again what a dead worker left undone. Scores come from processors of one kind wherever the cluster has
    only such; others may round the last bits otherwise.
    """

    def __init__(self, evaluator: SupernetEvaluator, attempts: int = ATTEMPTS) -> None:
        """`evaluator` knows what to score with, and remembers the scores; a candidate is tried `attempts` times."""
        import ray

        self._evaluator = evaluator
        self._attempts = attempts
        supernet = deepcopy(evaluator.supernet).cpu()
        self._held = ray.put(Held(_software(), supernet, evaluator.search.to("cpu"), evaluator.calibration.cpu()))
        self._task = ray.remote(num_cpus=1, max_retries=attempts - 1)(_score)

    @property
    def images(self) -> int:
        """How many images each score is estimated on."""
        return self._evaluator.images

    def score(self, architectures: Sequence[Architecture]) -> list[Score]:
        """The score of each; all unknown ones are handed out at once.

        Raises:
            ClusterError: a worker has other versions of splitkit or torch, or workers died over and over.
        """
        known = self._evaluator.cache
        unknown = list(dict.fromkeys(a for a in architectures if a not in known))
        known |= zip(unknown, self._scores(unknown), strict=True)
        return [known[architecture] for architecture in architectures]

    def _scores(self, architectures: Sequence[Architecture]) -> list[Score]:
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            return list(ray.get([self._task.remote([self._held], architecture) for architecture in architectures]))
        except RayTaskError as error:
            if isinstance(error.cause, SplitkitError):
                raise error.cause from error
            raise ClusterError(
                f"a Ray worker failed: {reason(error.cause)}", "every machine needs the same splitkit and torch"
            ) from error
        except RayError as error:
            raise ClusterError(
                f"Ray gave up on a candidate after {self._attempts} attempts: {reason(error)}",
                "every processor needs memory for a supernet; what was scored before is kept",
            ) from error


def _score(held: Sequence[Any], architecture: Architecture) -> Score:
    """The task. `held` is a reference in a list, which Ray does not resolve."""
    torch.set_num_threads(1)  # as in one process, where every network has one thread: the same sums in the same order
    here = _fetched(held[0])
    return score(here.supernet, architecture, here.search, here.calibration).score


@lru_cache(maxsize=1)
def _fetched(reference: Any) -> Held:
    import ray

    held: Held = ray.get(reference)
    if held.software != _software():
        raise ClusterError(
            f"a worker of the Ray cluster has {_software()}, this machine {held.software}",
            "install the same versions on every machine",
        )
    return held


def _software() -> str:
    return f"splitkit {__version__} and torch {torch.__version__}"
