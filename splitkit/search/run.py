"""The whole search: every system evolved with one budget, measured, corrected, evolved again, merged into one front."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from splitkit.devices import get_device
from splitkit.profiles import System
from splitkit.scores import Score
from splitkit.search.candidate import Candidate, Run, judge
from splitkit.search.choice import fastest_alike
from splitkit.search.config import Constraints, SearchConfig
from splitkit.search.feedback import Feedback, FeedbackRound, measure_candidates, to_measure
from splitkit.search.finals import Finalist, Finals, pick_finalists, play
from splitkit.search.front import pareto_front
from splitkit.search.journal import Journal
from splitkit.search.model_quality import ModelQuality, ModelRecord
from splitkit.search.point import describe_point
from splitkit.search.protocol import Evaluator, Measurement, Predictor
from splitkit.search.result import SearchResult
from splitkit.space import Architecture, SearchSpace
from splitkit.space.search_space import Placement

if TYPE_CHECKING:
    from splitkit.search.evolve import Evolution
    from splitkit.search.exchange import Cuts

Candidates = dict[str, list[Candidate]]
"""Candidates by system."""


@dataclass(frozen=True)
class Progress:
    """Where a search stands; told after each generation."""

    round: int
    system: str
    generation: int
    generations: int
    evaluated: int
    best_accuracy: float
    fastest_us: float


def search(
    space: SearchSpace,
    system: System,
    predictor: Predictor,
    evaluator: Evaluator,
    config: SearchConfig | None = None,
    *,
    constraints: Constraints | None = None,
    feedback: Feedback[Any] | None = None,
    finals: Finals | None = None,
    admissible: Callable[[Architecture], str | None] | None = None,
    journal: Journal | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> SearchResult:
    """Search the degenerate systems and the split one, each with the same budget, side by side.

    They share their scores, and in every generation some of each system's candidates are the others' best networks,
    cut elsewhere.

    With `feedback`, a round of measuring follows each search, and a search from the known candidates with the
    corrected predictor follows each round, until newly measured candidates agree with their predictions or the rounds
    are spent; what is reported is as the predictor corrected last sees it. With `finals`, some points of every front
    are fine-tuned before one is chosen. Deterministic given the seed, the predictor and the journal.

    Args:
        constraints: limits on candidates; the sensor's memory by default.
        admissible: why a candidate cannot be exported (None: it can). Asked of front members only; those refused are
            left out and the next best take their place.
        journal: where scores, measurements and refusals are kept and looked up; in memory by default.

    Raises:
        ConfigError: a replayed journal lacks an answer.
    """
    config = config or SearchConfig()
    search_ = _Search(
        space=space,
        evaluator=evaluator,
        config=config,
        constraints=constraints or Constraints.for_system(system),
        admissible=admissible,
        journal=journal or Journal(),
        on_progress=on_progress,
    )
    found = search_.evolve_all(predictor, round_=0)
    measurements: list[Measurement] = []
    records: list[FeedbackRound] = []
    for number in range(1, (feedback.rounds if feedback else 0) + 1):
        assert feedback is not None
        fronts = search_.fronts(found)
        known = {m.architecture.digest() for m in measurements}
        chosen = to_measure(fronts, _merge(fronts), known, feedback.per_round)
        if not chosen:
            break
        new, record = measure_candidates(chosen, feedback, search_.journal, number)
        measurements += new
        records.append(record)
        predictor = feedback.refit(measurements)
        if record.median_error <= feedback.tolerance:
            found = search_.judge_all(predictor)
            break
        found = search_.evolve_all(predictor, number)
    return search_.result(system, found, predictor, measurements, records, finals)


def choose(
    space: SearchSpace,
    system: System,
    predictor: Predictor,
    evaluator: Evaluator,
    drawn: Mapping[Placement, Sequence[Architecture]],
    config: SearchConfig,
    *,
    constraints: Constraints,
    finals: Finals | None = None,
    admissible: Callable[[Architecture], str | None] | None = None,
    journal: Journal | None = None,
) -> SearchResult:
    """What `search` would return, had it scored these architectures of each system and no others."""
    search_ = _Search(
        space=space,
        evaluator=evaluator,
        config=config,
        constraints=constraints,
        admissible=admissible,
        journal=journal or Journal(),
        on_progress=lambda progress: None,
    )
    for placement, architectures in drawn.items():
        search_.known[placement] = dict(zip(architectures, search_.score(architectures), strict=True))
    return search_.result(system, search_.judge_all(predictor), predictor, [], [], finals)


@dataclass
class _Search:
    """The parts of one search that stay from round to round, and what was found: scores, refusals."""

    space: SearchSpace
    evaluator: Evaluator
    config: SearchConfig
    constraints: Constraints
    admissible: Callable[[Architecture], str | None] | None
    journal: Journal
    on_progress: Callable[[Progress], None]
    rejected: dict[str, str] = field(default_factory=dict)
    known: dict[Placement, dict[Architecture, Score]] = field(default_factory=dict)
    infeasible: dict[str, int] = field(default_factory=dict)
    model_records: dict[str, ModelRecord] = field(default_factory=dict)

    def score(self, architectures: Sequence[Architecture]) -> list[Score]:
        """The shared cache in front of the evaluator, itself an evaluator."""
        return self.journal.score(self.evaluator, architectures)

    def evolve_all(self, predictor: Predictor, round_: int) -> Candidates:
        """All systems evolved in step, from what earlier rounds found there; everything found so far."""
        config = self.config if round_ == 0 else self.config.refinement()
        evolutions = {placement: self._evolution(placement, predictor, config) for placement in config.systems}
        cuts = self._cuts(predictor)
        for generation in range(1, config.generations + 1):
            for placement, evolution in evolutions.items():
                if evolution.exhausted:
                    continue
                count = self._most_immigrants(generation, config)
                evolution.advance(self._immigrants(placement, cuts, evolution.run, count))
                self.known[placement] |= {c.architecture: c.score for c in evolution.run.candidates}
                self._report(round_, placement, generation, config.generations, evolution.run)
        for placement, evolution in evolutions.items():
            self.infeasible[placement] = self.infeasible.get(placement, 0) + evolution.run.infeasible
        return self.judge_all(predictor)

    def judge_all(self, predictor: Predictor) -> Candidates:
        """Everything found so far as this predictor sees it, without looking for more."""
        return {name: judge(self.space, predictor, self.constraints, known) for name, known in self.known.items()}

    def _evolution(self, placement: Placement, predictor: Predictor, config: SearchConfig) -> "Evolution":
        from splitkit.search.evolve import Evolution  # imports pymoo, which takes longer than all the rest

        known = self.known.setdefault(placement, {})
        return Evolution(
            self.space,
            placement,
            predictor,
            self,
            self.constraints,
            config,
            seeds=[c.architecture for c in _front(judge(self.space, predictor, self.constraints, known))],
            scored={a: score for found in self.known.values() for a, score in found.items()},
            model_record=self.model_records.setdefault(placement, ModelRecord()),
        )

    @staticmethod
    def _most_immigrants(generation: int, config: SearchConfig) -> int:
        """How many candidates of a generation may be the others' networks: in the last one all, since what the others
        have found by then gets no second chance."""
        last = config.exchange > 0 and 1 < generation == config.generations
        return config.population if last else round(config.exchange * config.population)

    def _cuts(self, predictor: Predictor) -> "Cuts":
        from splitkit.search.exchange import Cuts  # loads pymoo too

        return Cuts(self.space, predictor, self.constraints)

    def _immigrants(self, placement: Placement, cuts: "Cuts", run: Run, count: int) -> list[Architecture]:
        from splitkit.search.exchange import immigrants

        fronts = {name: _front(found) for name, found in self.judge_all(cuts.predictor).items()}
        donors = [c for name, front in fronts.items() if name != placement for c in front]
        return immigrants(cuts, placement, donors, run.seen, count)

    def fronts(self, found: Candidates) -> Candidates:
        """Each system's front over everything it evaluated, without what cannot be exported."""
        return {name: self._admissible_front(candidates) for name, candidates in found.items()}

    def _admissible_front(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        left = list(candidates)
        while True:
            front = _front(left)
            refused = {c.architecture: reason for c in front if (reason := self._refusal(c.architecture)) is not None}
            if not refused:
                return front
            self.rejected |= {str(architecture): reason for architecture, reason in refused.items()}
            left = [c for c in left if c.architecture not in refused]

    def _refusal(self, architecture: Architecture) -> str | None:
        return self.journal.admission(architecture, self.admissible) if self.admissible else None

    def _copies(self, donors: Sequence[Candidate], predictor: Predictor) -> dict[Architecture, Candidate]:
        """Of each of these networks the nearest split system that can be exported, where there is one."""
        from splitkit.search.exchange import copies

        if not donors or "split" not in self.config.systems:
            return {}
        made = copies(self._cuts(predictor), donors)
        made = {donor: copy for donor, copy in made.items() if self._refusal(copy) is None}
        scores = dict(zip(made.values(), self.score(list(made.values())), strict=True))
        judged = {c.architecture: c for c in judge(self.space, predictor, self.constraints, scores)}
        return {donor: judged[copy] for donor, copy in made.items()}

    def _report(self, round_: int, placement: str, generation: int, generations: int, run: Run) -> None:
        accuracy = max((c.accuracy for c in run.candidates), default=0.0)
        fastest = min((c.total_us for c in run.candidates), default=float("inf"))
        self.on_progress(Progress(round_, placement, generation, generations, len(run.candidates), accuracy, fastest))

    def _model_quality(self) -> dict[str, ModelQuality]:
        """By system, where a model chose what was scored."""
        return {
            name: model_record.quality() for name, model_record in self.model_records.items() if model_record.proposed
        }

    def result(
        self,
        system: System,
        found: Candidates,
        predictor: Predictor,
        measurements: Sequence[Measurement],
        records: Sequence[FeedbackRound],
        finals: Finals | None,
    ) -> SearchResult:
        """Fronts with every figure of every point, and the choice among them."""
        fronts = self.fronts(found)
        entrants = {name: pick_finalists(front, finals.finalists if finals else 0) for name, front in fronts.items()}
        copies = self._copies([c for name in entrants if name != "split" for c in entrants[name]], predictor)
        measured = {m.architecture: m.total_us for m in measurements}
        distinct = {c.architecture: c for group in (*fronts.values(), copies.values()) for c in group}
        candidates = sorted(distinct.values(), key=lambda c: (c.total_us, -c.log_likelihood))
        index = {candidate.architecture: i for i, candidate in enumerate(candidates)}
        points = tuple(describe_point(self.space, system, c, measured.get(c.architecture)) for c in candidates)
        images = getattr(self.evaluator, "images", None)
        finalists: tuple[Finalist, ...] = ()
        if finals:
            field = {name: [points[index[c.architecture]] for c in group] for name, group in entrants.items()}
            near = {architecture: points[index[c.architecture]] for architecture, c in copies.items()}
            finalists, chosen = play(field, points, finals, self.journal, near)
        else:
            alike = fastest_alike(fronts, images)
            chosen = {name: index[point.architecture] for name, point in alike.items()}
        return SearchResult(
            space=self.space.name,
            system=system.name,
            points=points,
            fronts={name: tuple(index[c.architecture] for c in front) for name, front in fronts.items()},
            merged=tuple(index[c.architecture] for c in _merge(fronts)),
            labels={
                "sensor": get_device(system.sensor).label(),
                "link": "model",
                "aggregator": get_device(system.aggregator).label(),
            },
            constraints=self.constraints,
            config=self.config,
            chosen=chosen,
            finalists=finalists,
            evaluated={name: len(known) for name, known in self.known.items()},
            infeasible=self.infeasible,
            rejected=self.rejected,
            feedback=tuple(records),
            accuracy_model=self._model_quality(),
            conditions=self.journal.conditions,
            scored_on=images,
        )


def _front(candidates: Sequence[Candidate]) -> list[Candidate]:
    quality = np.array([candidate.score.log_likelihood for candidate in candidates])
    latency = np.array([candidate.total_us for candidate in candidates])
    return [candidates[i] for i in pareto_front(quality, latency)]


def _merge(fronts: Mapping[str, Sequence[Candidate]]) -> list[Candidate]:
    return _front([candidate for front in fronts.values() for candidate in front])
