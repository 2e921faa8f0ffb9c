"""What all ways are compared on: one run's data, system, limits, latency table and corrections."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from splitkit.data import Dataset
from splitkit.errors import DeviceError
from splitkit.graphs.graph import RenderedGraph
from splitkit.latency.corrections import Corrections
from splitkit.latency.network_predictor import NetworkPredictor
from splitkit.latency.predictor import Prediction, SystemPredictor
from splitkit.latency.store import LutStore
from splitkit.partition.measuring import measure_once
from splitkit.profiles import System
from splitkit.project.admission import network_refusal
from splitkit.project.baselines.networks import Networks
from splitkit.project.config import Project
from splitkit.project.steps.data import Say
from splitkit.scores import ImageScores
from splitkit.search import Journal, SearchResult
from splitkit.search.baselines import Name, Recipe, Row
from splitkit.search.point import energy_uj
from splitkit.sides import SIDES
from splitkit.space import SearchSpace, describe
from splitkit.space.network import Network
from splitkit.space.operators import Operator
from splitkit.space.plain_cut import cut_plainly

T = TypeVar("T")


class LeftOutError(Exception):
    """Why a way has no row here, in words; no mistake of anybody's."""


@dataclass(frozen=True)
class Setting:
    """The run, and what its ways are made with.

    Attributes:
        result: of the run's search.
        store: a copy of the search's latency table, to which the fixed network's kernels are added.
        journal: of the searches among the ways.
        loss: accuracy that a file format, a narrower link or a bottleneck may cost.
    """

    project: Project
    system: System
    data: Dataset
    result: SearchResult
    networks: Networks
    store: LutStore
    corrections: Corrections
    journal: Journal
    loss: float
    say: Say

    @property
    def space(self) -> SearchSpace:
        """The run's."""
        return self.networks.space

    def system_predictor(self, space: SearchSpace) -> SystemPredictor:
        """For whole populations of a space, with the search's corrections."""
        return SystemPredictor(space, self.system, self.store, corrections=self.corrections)

    def predictor(self) -> NetworkPredictor:
        """For any chain of units, with the same corrections."""
        return NetworkPredictor(self.system, self.store, self.space.views, self.corrections)

    def described(self, recipe: Recipe) -> Network:
        """The units on either side, before any file format."""
        space = self.networks.space_of(recipe)
        if recipe.cut is None:
            return describe(space, recipe.architecture)
        return cut_plainly(space, recipe.architecture, recipe.cut)

    def scores(self, recipe: Recipe) -> ImageScores:
        """On the search slice."""
        return self.networks.scores(recipe, self.data.search)

    def refuses(self, network: Network, figures: Prediction) -> bool:
        """Whether it is beyond the run's limits, or the compiled plan does not fit."""
        beyond = np.any(self.result.constraints.violations(figures) > 0)
        return bool(beyond) or network_refusal(network, self.system) is not None

    def measure(self, *networks: Network) -> None:
        """Have the table know networks' kernels on both sides' devices, where they can be measured now."""
        for network in networks:
            for operators in (network.operators("sensor"), network.operators("aggregator")):
                if operators:
                    self._measure(tuple(operators))

    def _measure(self, operators: tuple[Operator, ...]) -> None:
        model = RenderedGraph(operators).model()
        for side in SIDES:
            try:
                measure_once(model, self.system.device(side), self.store, self.say)
            except DeviceError as error:
                self.say(f"{side}: times of the fixed network's own kernels are estimated: {error}")

    def row(self, name: Name, recipe: Recipe, figures: Prediction, obtained: str, considered: int = 1) -> Row:
        """A row whose times are a prediction of one network, arrays of shape (1,)."""
        found = self.scores(recipe)
        return Row(
            name=name,
            recipe=recipe,
            accuracy=found.score.accuracy,
            scores=found.to_json(),
            sensor_us=float(figures.sensor_us[0]),
            link_us=float(figures.link_us[0]),
            aggregator_us=float(figures.aggregator_us[0]),
            payload_bytes=float(figures.payload_bytes[0]),
            energy_uj=energy_uj(self.described(recipe), self.system),
            measured_fraction=float(figures.measured_fraction[0]),
            obtained=obtained,
            labels=self.result.labels,
            considered=considered,
        )


def first_good(options: Sequence[T], accuracy_of: Callable[[T], float], floor: float) -> tuple[T, int, bool]:
    """The first option that is accurate to `floor`, else the most accurate; how many were tried, and if one was good.

    Args:
        options: at least one, the most wanted first.
    """
    tried: list[float] = []
    for option in options:
        tried.append(accuracy_of(option))
        if tried[-1] >= floor - 1e-9:
            return option, len(tried), True
    return options[int(np.argmax(tried))], len(tried), False
