"""How many steps fit into a given time."""

import time
from collections.abc import Callable
from copy import deepcopy
from typing import TypeVar

import torch

from splitkit.data import Augmentation, Dataset, SampleSource
from splitkit.space.search_space import SearchSpace
from splitkit.supernet import SubNetwork, Supernet
from splitkit.training.config import FineTuneConfig, OptimiserConfig, TrainConfig
from splitkit.training.finetune import FineTuning, Teacher
from splitkit.training.optimise import pick_device
from splitkit.training.ranks import Alone, Ranks
from splitkit.training.step import Steps

Config = TypeVar("Config", bound=OptimiserConfig)

SHARE, LONGEST_S = 0.03, 60.0
"""Of a budget, the part that is spent on finding out how long a step takes, and the most seconds of it."""

LONG = 10**6
"""Steps of a schedule of which some are tried."""

CHUNK = 8
"""Steps of fine-tuning that are tried in one go: each go sets up threads."""

WARMUP_SHARE = 0.05
"""Of a schedule made to measure, the steps over which the learning rate rises."""


def steps_within(
    budget_s: float, take: Callable[[int], object], least: int = 3, clock: Callable[[], float] = time.monotonic
) -> int:
    """How many steps of training there is time for.

    Args:
        budget_s: seconds for everything, measuring included.
        take: takes step number n of a trial run.
        clock: seconds; the processor's own where a study is to take the same steps whatever runs beside it.
        least: steps after which the mix of cheap and dear ones is fair; one more runs ahead of them, to warm up.

    Returns:
        At least 1.
    """
    begun = clock()
    take(0)  # compiles kernels
    warm, taken = clock(), 0
    while taken < least or clock() - begun < min(SHARE * budget_s, LONGEST_S):
        taken += 1
        take(taken)
    each_s = (clock() - warm) / taken
    return max(1, int((budget_s - (clock() - begun)) / each_s))


def of_steps(config: Config, steps: int) -> Config:
    """The same schedule, stretched or shrunk to so many steps."""
    return config.model_copy(update={"steps": steps, "warmup_steps": round(WARMUP_SHARE * steps)})


def fit_training(
    budget_s: float,
    space: SearchSpace,
    data: Dataset,
    config: TrainConfig,
    device: str = "auto",
    ranks: Ranks | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> TrainConfig:
    """The schedule with as many steps as there is time for, found by taking some with a supernet that is thrown away.

    Steps take as long as they do now: a machine that becomes busy overruns the budget. All ranks take the trial steps;
    the first one's clock counts.
    """
    ranks = ranks or Alone()
    trial = Supernet(space, config.seed, config.sides).to(pick_device(ranks.device(device)))
    steps = Steps(trial, data, of_steps(config, LONG), ranks)
    threads = ranks.from_first(torch.get_num_threads())
    one_more = 0

    def take(step: int) -> None:
        ranks.from_first(one_more)
        steps.take(_spread(step, config), workers)

    with steps.workers(threads) as workers:
        if ranks.rank == 0:
            count = ranks.from_first(steps_within(budget_s, take, 2 * config.sandwich_every, clock))
        else:
            step = 0
            while (count := ranks.from_first(one_more)) == one_more:
                steps.take(_spread(step, config), workers)
                step += 1
    return of_steps(config, count)


def _spread(number: int, config: TrainConfig) -> int:
    """Steps that stand for a schedule of `LONG`: all parts of it, and sandwiches as often as it has them."""
    at = int(number * 0.618034 % 1 * LONG)
    return at - at % config.sandwich_every + number % config.sandwich_every


def fit_fine_tuning(
    budget_s: float,
    network: SubNetwork,
    samples: SampleSource,
    augmentation: Augmentation,
    config: FineTuneConfig,
    teacher: Teacher | None = None,
) -> FineTuneConfig:
    """The same of a sub-network's own training; `network` is left as it is."""
    trial = FineTuning(deepcopy(network), samples, augmentation, of_steps(config, LONG), teacher)
    chunks = steps_within(budget_s, lambda n: trial.advance(CHUNK, recalibrated=False), least=1)
    return of_steps(config, CHUNK * chunks)
