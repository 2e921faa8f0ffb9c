"""What a search returns, and its file `pareto.json`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from splitkit.errors import ConfigError, reason
from splitkit.reading import parse_json, typed
from splitkit.scratch import write_json
from splitkit.search.config import Constraints, SearchConfig
from splitkit.search.feedback import FeedbackRound
from splitkit.search.finals import Finalist
from splitkit.search.model_quality import ModelQuality
from splitkit.search.point import Point

SCHEMA_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """Fronts of one search.

    Attributes:
        space, system: names.
        points: every point of any system's front, and copies of the others' finalists for split, by rising latency.
        fronts: indices into `points`, by system (`sensor`, `aggregator`, `split`), each searched with the same budget.
        merged: indices of the points no point of any system beats.
        labels: how each side's times must be called: `measured`, `analytical`, `measured x50 (emulated slower core)`.
        chosen: index of the point to deploy, by system: all by the one rule that `choice` states.
        finalists: points that were fine-tuned before the choice; without any it rests on shared weights.
        evaluated: candidates whose score was needed, by system.
        infeasible: candidates proposed beyond a constraint and not evaluated, by system.
        rejected: architectures that a compile check took out of a front, with its reason.
        feedback: one record per round of measuring.
        accuracy_model: how well the model of accuracy ranked candidates, by system; empty without `config.oversample`.
        conditions: what the figures rest on, as the journal's header has it.
        scored_on: images each score was estimated on, which says how finely accuracies can be told apart.
    """

    space: str
    system: str
    points: tuple[Point, ...]
    fronts: Mapping[str, tuple[int, ...]]
    merged: tuple[int, ...]
    labels: Mapping[str, str]
    constraints: Constraints
    config: SearchConfig
    evaluated: Mapping[str, int]
    infeasible: Mapping[str, int]
    chosen: Mapping[str, int] = field(default_factory=dict)
    finalists: tuple[Finalist, ...] = ()
    rejected: Mapping[str, str] = field(default_factory=dict)
    feedback: tuple[FeedbackRound, ...] = ()
    accuracy_model: Mapping[str, ModelQuality] = field(default_factory=dict)
    conditions: Mapping[str, str] = field(default_factory=dict)
    scored_on: int | None = None

    def front(self, system: str) -> tuple[Point, ...]:
        """The front of one system, by rising latency and accuracy; empty where nothing was feasible."""
        return tuple(self.points[i] for i in self.fronts.get(system, ()))

    @property
    def best(self) -> dict[str, Point]:
        """The chosen point of each system that has one."""
        return {name: self.points[i] for name, i in self.chosen.items()}

    @property
    def merged_front(self) -> tuple[Point, ...]:
        """The front over all systems, by rising latency and accuracy."""
        return tuple(self.points[i] for i in self.merged)

    def to_json(self) -> dict[str, Any]:
        """The object that `pareto.json` holds."""
        return {
            "schema_version": SCHEMA_VERSION,
            "space": self.space,
            "system": self.system,
            "labels": dict(self.labels),
            "points": [point.to_json() for point in self.points],
            "fronts": {name: list(indices) for name, indices in self.fronts.items()},
            "merged": list(self.merged),
            "chosen": dict(self.chosen),
            "finalists": [finalist.to_json() for finalist in self.finalists],
            "feedback": [record.to_json() for record in self.feedback],
            "accuracy_model": {name: quality.to_json() for name, quality in self.accuracy_model.items()},
            "evaluated": dict(self.evaluated),
            "infeasible": dict(self.infeasible),
            "rejected": dict(self.rejected),
            "constraints": self.constraints.to_json(),
            "config": asdict(self.config),
            "conditions": dict(self.conditions),
            "scored_on": self.scored_on,
        }


def save_result(result: SearchResult, path: Path) -> None:
    """Write `pareto.json`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result.to_json())


def load_result(path: Path) -> SearchResult:
    """Read a file that `save_result` wrote.

    Raises:
        ConfigError: it is missing, not JSON, of another schema version, or a field is missing, unknown or wrong.
    """
    try:
        body = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {reason(error)}", "run `splitkit search` first") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}", "run `splitkit search` again") from error
    version = body.get("schema_version") if isinstance(body, dict) else None
    if version != SCHEMA_VERSION:
        raise ConfigError(
            f"{path}: schema_version: {version!r}, this splitkit reads {SCHEMA_VERSION}", "run `splitkit search` again"
        )
    try:
        return _parse(body)
    except KeyError as error:
        raise ConfigError(f"{path}: {error.args[0]}: is missing", "run `splitkit search` again") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path}: not a search result: {error}", "run `splitkit search` again") from error


def _parse(body: dict[str, Any]) -> SearchResult:
    points = tuple(Point.from_json(point) for point in body["points"])
    fronts = {name: tuple(indices) for name, indices in body["fronts"].items()}
    merged = tuple(body["merged"])
    finalists = tuple(Finalist(**finalist) for finalist in body["finalists"])
    named = [*fronts.items(), ("merged", merged), ("chosen", tuple(body["chosen"].values()))]
    for name, indices in [*named, ("finalists", tuple(finalist.point for finalist in finalists))]:
        if not all(isinstance(i, int) and 0 <= i < len(points) for i in indices):
            raise ValueError(f"{name}: an index is outside the {len(points)} points")
    for i, point in enumerate(points):
        _check_figures(i, point)
    config = SearchConfig(**{**body["config"], "systems": tuple(body["config"]["systems"])})
    result = SearchResult(
        space=body["space"],
        system=body["system"],
        points=points,
        fronts=fronts,
        merged=merged,
        labels=body["labels"],
        constraints=Constraints(**body["constraints"]),
        config=config,
        evaluated=body["evaluated"],
        infeasible=body["infeasible"],
        chosen=body["chosen"],
        finalists=finalists,
        rejected=body["rejected"],
        feedback=tuple(FeedbackRound(**record) for record in body["feedback"]),
        accuracy_model={name: ModelQuality(**q) for name, q in body.get("accuracy_model", {}).items()},
        conditions=body["conditions"],
        scored_on=body.get("scored_on"),
    )
    return typed(SearchResult, asdict(result))


def _check_figures(index: int, point: Point) -> None:
    """Figures that a search cannot have come to would only fail later, in a table or a drawing."""
    if not 0 <= point.accuracy <= 1:
        raise ValueError(f"points.{index}.accuracy: {point.accuracy!r} is not between 0 and 1")
    stages = (point.sensor_us, point.link_us, point.aggregator_us)
    if not (point.total_us > 0 and all(us >= 0 for us in stages)):
        raise ValueError(f"points.{index}: its times must be positive")
