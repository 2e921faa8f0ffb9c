"""What a report of a search says, gathered before anything is drawn. Pages and pictures draw the same content."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from splitkit.errors import ConfigError, DeviceError
from splitkit.latency.corrections import Corrections
from splitkit.latency.measurement import Measurement
from splitkit.latency.predictor import SystemPredictor
from splitkit.latency.store import LutStore
from splitkit.profiles.schema import System
from splitkit.report.coverage import FamilyCoverage, family_coverage
from splitkit.report.diagram import Diagram, diagram_of
from splitkit.report.doubts import doubts
from splitkit.search import Journal, Point, SearchResult
from splitkit.search.baselines import Baselines
from splitkit.space import Architecture, SearchSpace
from splitkit.space.encoding import Encoding

SYSTEMS = {"sensor": "all on sensor", "aggregator": "all on aggregator", "split": "split"}
"""The three systems, by placement, as readers see them."""

CHANGED = (
    "the latency table this search saw has no rows for this machine with the compiler that is installed now. "
    "Where the search ran, and until the compiler changes, a report also has the candidates that are on no front, "
    "the table's own predictions and the coverage."
)


@dataclass(frozen=True)
class Scored:
    """A candidate the search looked at: where it runs, its accuracy in [0, 1] and its predicted latency."""

    placement: str
    accuracy: float
    total_us: float


@dataclass(frozen=True)
class Stages:
    """Times of one frame."""

    sensor_us: float
    link_us: float
    aggregator_us: float

    @property
    def total_us(self) -> float:
        """Their sum."""
        return self.sensor_us + self.link_us + self.aggregator_us


@dataclass(frozen=True)
class Comparison:
    """A candidate timed by feedback, beside its predictions.

    `corrected_us` is as the predictor corrected last has it, which was fitted to these very measurements;
    `table_us` is what the table alone says. None where the table could not be read.
    """

    placement: str
    architecture: Architecture
    measured: Stages
    corrected_us: float | None
    table_us: float | None


@dataclass(frozen=True, kw_only=True)
class Content:
    """Everything in a report.

    Attributes:
        name: the run.
        doubts: what should make a reader doubt the figures.
        diagrams: of every point, in the order of `result.points`.
        cloud: every candidate that was scored, dominated ones included; empty where the table could not be read.
        comparisons: candidates that were timed whole.
        baselines: the found split beside other ways, where they were compared.
        problem: why something could not be shown, in words; empty where all was found.
    """

    name: str
    result: SearchResult
    system: System
    diagrams: tuple[Diagram, ...]
    cloud: tuple[Scored, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    coverage: tuple[FamilyCoverage, ...] = ()
    problem: str = ""
    doubts: tuple[str, ...] = ()
    measured: Mapping[Architecture, Stages] = field(default_factory=dict)
    baselines: Baselines | None = None

    @property
    def modelled(self) -> bool:
        """Whether no part of any time was measured."""
        return all(_is_model(label) for part, label in self.result.labels.items() if part != "link")

    @property
    def best(self) -> Mapping[str, int]:
        """Index of each system's chosen point."""
        return self.result.chosen

    @property
    def fastest(self) -> Point | None:
        """The fastest of the systems' chosen points."""
        return min(self.result.best.values(), key=lambda point: point.total_us, default=None)

    @property
    def rule(self) -> str:
        """How the systems' points were chosen, in words."""
        if not self.result.finalists:
            return (
                "Of each the fastest that is as accurate as all of them can be, to one standard error of the search "
                "images."
            )
        return (
            f"{len(self.result.finalists)} networks were fine-tuned a little; of each system the fastest was chosen "
            "that is not less accurate than the best of all by more than could be chance (on the same images, "
            "McNemar's test)."
        )

    @property
    def labels(self) -> str:
        """How every figure's times must be called, in one line."""
        return ", ".join(f"{part}: {label}" for part, label in self.result.labels.items())


def gather(
    name: str,
    result: SearchResult,
    space: SearchSpace,
    system: System,
    journal: Journal,
    store: LutStore | None,
    corrections: Corrections,
) -> Content:
    """Put a report's content together.

    Args:
        store: a copy of the table the search saw; without one the report does without what it would say.
    """
    measurements = [Measurement.from_json(body) for body in journal.measurements.values()]
    cloud: tuple[Scored, ...] = ()
    coverage: tuple[FamilyCoverage, ...] = ()
    on_front = [point for point in result.points if point.measured_total_us is not None]
    predicted: dict[Architecture, tuple[float, float | None]] = {p.architecture: (p.total_us, None) for p in on_front}
    problem = "" if store else "the latency table this search saw is gone."
    if store:
        try:
            coverage = family_coverage(store, space, system, [point.architecture for point in result.points])
            plain = SystemPredictor(space, system, store)
            cloud = _cloud(space, plain.with_corrections(corrections), journal)
            predicted |= _predicted(space, plain, corrections, measurements)
        except DeviceError:
            problem = CHANGED
    return Content(
        name=name,
        result=result,
        system=system,
        diagrams=tuple(diagram_of(space, point.architecture) for point in result.points),
        cloud=cloud,
        comparisons=tuple(_compare(m, predicted) for m in measurements),
        coverage=coverage,
        problem=problem,
        doubts=tuple(doubts(result, space.head.classes)),
        measured={m.architecture: _stages(m) for m in measurements},
    )


def _cloud(space: SearchSpace, predictor: SystemPredictor, journal: Journal) -> tuple[Scored, ...]:
    architectures = [_architecture(digest) for digest in journal.scores]
    if not architectures:
        return ()
    total_us = predictor.predict(Encoding(space).encode_all(architectures)).total_us
    scored = zip(architectures, journal.scores.values(), total_us.tolist(), strict=True)
    return tuple(Scored(a.placement, score.accuracy, us) for a, score, us in scored)


def _architecture(digest: str) -> Architecture:
    try:
        return Architecture.from_json(json.loads(digest))
    except ValueError as error:
        raise ConfigError(f"search.jsonl: not an architecture: {error}") from error


def _predicted(
    space: SearchSpace, plain: SystemPredictor, corrections: Corrections, measurements: list[Measurement]
) -> dict[Architecture, tuple[float, float]]:
    """(corrected, table alone) of every measured architecture."""
    if not measurements:
        return {}
    genes = Encoding(space).encode_all([m.architecture for m in measurements])
    columns = [p.predict(genes).total_us.tolist() for p in (plain.with_corrections(corrections), plain)]
    return {m.architecture: (c, t) for m, c, t in zip(measurements, *columns, strict=True)}


def _compare(m: Measurement, predicted: Mapping[Architecture, tuple[float, float | None]]) -> Comparison:
    corrected, table = predicted.get(m.architecture, (None, None))
    return Comparison(m.architecture.placement, m.architecture, _stages(m), corrected, table)


def _stages(m: Measurement) -> Stages:
    return Stages(m.sensor_us, m.link_us, m.aggregator_us)


def rising(front: Sequence[Point]) -> list[Point]:
    """The points of a front at which accuracy rises: its outline. A front is ranked by likelihood, which may rise
    where accuracy does not."""
    outline: list[Point] = []
    for point in sorted(front, key=lambda p: p.total_us):
        if not outline or point.accuracy > outline[-1].accuracy:
            outline.append(point)
    return outline


def _is_model(label: str) -> bool:
    return label.startswith("analytical")
