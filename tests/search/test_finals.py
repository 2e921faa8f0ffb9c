"""Finals: the better half goes on, all systems by one rule, stopped and repeated without paying twice."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from splitkit.errors import ConfigError
from splitkit.scores import ImageScores, Score
from splitkit.search import Constraints, Finals, FinalsProgress, Journal, Point, SearchConfig, SearchResult, search
from splitkit.search.candidate import judge
from splitkit.search.choice import accurate_enough, by_preference, most_accurate, ranked
from splitkit.search.exchange import Cuts, copies
from splitkit.search.finals import REACH, pick_finalists
from splitkit.space import Architecture
from tests.search.hardware import TINY, FormulaEvaluator, FormulaPredictor, system

PAPER = system()
CONFIG = SearchConfig(population=12, generations=4, seed=1)
IMAGES = 400


def images(wrong: int, log_likelihood: float = -0.1) -> ImageScores:
    return ImageScores(np.arange(IMAGES) >= wrong, np.full(IMAGES, log_likelihood))


def front(placement: str) -> list[Architecture]:
    found = search(TINY, PAPER, FormulaPredictor(TINY, PAPER), FormulaEvaluator(TINY), CONFIG)
    return [point.architecture for point in found.front(placement)]


class FormulaTuner:
    """Fine-tuning halves the error of the formula for every run; `asked` keeps the questions."""

    def __init__(self) -> None:
        self.asked: list[tuple[Architecture, tuple[int, ...]]] = []

    def tune(
        self, architectures: Sequence[Architecture], schedule: Sequence[int]
    ) -> Generator[ImageScores, None, None]:
        return (self.one(architecture, tuple(schedule)) for architecture in architectures)

    def one(self, architecture: Architecture, schedule: tuple[int, ...]) -> ImageScores:
        self.asked.append((architecture, schedule))
        error = (1 - FormulaEvaluator(TINY).of(architecture)) / 2 ** len(schedule)
        return images(round(error * IMAGES), -error)


def run(tuner: FormulaTuner, journal: Journal | None = None, **more: int) -> SearchResult:
    return search(
        TINY, PAPER, FormulaPredictor(TINY, PAPER), FormulaEvaluator(TINY), CONFIG,
        finals=Finals(tuner=tuner, **more), journal=journal,
    )  # fmt: skip


def test_the_better_half_of_every_system_goes_on_for_twice_as_long() -> None:
    tuner = FormulaTuner()
    result = run(tuner, finalists=6, steps=50)
    for placement in ("sensor", "aggregator", "split"):
        first = {a for a, schedule in tuner.asked if a.placement == placement and schedule == (50,)}
        second = {a for a, schedule in tuner.asked if a.placement == placement and schedule == (50, 100)}
        copied = second - first
        assert len(second & first) == (len(first) + 1) // 2
        assert placement == "split" or not copied
        assert result.best[placement].architecture in second
    assert {schedule for _, schedule in tuner.asked} == {(50,), (50, 100)}
    assert {f.steps for f in result.finalists} == {50, 150}


def test_what_is_chosen_is_the_fastest_that_is_accurate_enough() -> None:
    tuner = FormulaTuner()
    result = run(tuner)
    last = {result.points[f.point].architecture: tuner.one(result.points[f.point].architecture, (50, 100))
            for f in result.finalists if f.steps == 150}  # fmt: skip
    best = most_accurate([Tried(0.0, scores) for scores in last.values()]).scores
    rival = last[min((result.best[name] for name in ("sensor", "aggregator")), key=lambda p: p.total_us).architecture]
    for name, point in result.best.items():
        tried = [p for p in result.points if p.placement == name and p.architecture in last]
        good = [p for p in tried if accurate_enough(last[p.architecture], rival if name == "split" else best)]
        assert point.total_us == min(p.total_us for p in good)
        assert next(f for f in result.finalists if result.points[f.point] == point).accurate_enough


def test_a_split_that_is_nearly_each_of_the_others_best_networks_is_tried_in_the_last_round() -> None:
    class Alone(FormulaTuner):
        """Networks that split early are no good: only those are that keep all of the layers on one side."""

        def one(self, architecture: Architecture, schedule: tuple[int, ...]) -> ImageScores:
            super().one(architecture, schedule)
            return images(4) if architecture in kept or architecture.placement != "split" else images(200)

    search_ = FormulaPredictor(TINY, PAPER)
    kept: set[Architecture] = set()
    for placement in ("sensor", "aggregator"):
        donors = judge(TINY, search_, Constraints(), {a: Score(0.9, -0.1) for a in front(placement)})
        kept |= set(copies(Cuts(TINY, search_, Constraints()), donors).values())
    tuner = Alone()
    result = run(tuner)
    better = min(result.best["sensor"].total_us, result.best["aggregator"].total_us)
    assert next(f for f in result.finalists if f.point == result.chosen["split"]).accurate_enough
    assert result.best["split"].architecture in kept
    assert result.best["split"].total_us <= 1.15 * better


class Tried:
    def __init__(self, total_us: float, scores: ImageScores) -> None:
        self.total_us, self.scores = total_us, scores


def test_networks_are_preferred_by_latency_while_they_are_accurate_enough_then_by_accuracy() -> None:
    best = images(4)
    fast_and_bad, slow_and_bad = Tried(1.0, images(40)), Tried(2.0, images(30))
    fast, faster, slow = Tried(20.0, images(4)), Tried(10.0, images(5)), Tried(30.0, images(3))
    order, enough = by_preference([fast_and_bad, slow, fast, slow_and_bad, faster], best)
    assert order == [*enough, slow_and_bad, fast_and_bad]
    assert enough == [faster, fast, slow]


def test_a_split_is_held_against_the_network_that_it_has_to_beat() -> None:
    best, cheap, split = Tried(50.0, images(0)), Tried(10.0, images(4)), Tried(9.0, images(8))
    assert accurate_enough(cheap.scores, best.scores)
    assert not accurate_enough(split.scores, best.scores)
    assert accurate_enough(split.scores, cheap.scores)
    order, enough = ranked({"split": [split], "sensor": [best, cheap]})
    assert order == {"sensor": [cheap, best], "split": [split]}
    assert enough == [cheap, best, split]


def test_where_no_other_system_is_accurate_enough_a_split_is_held_against_the_best() -> None:
    worse, slow, fast = Tried(1.0, images(40)), Tried(30.0, images(4)), Tried(20.0, images(30))
    order, enough = ranked({"split": [fast, slow], "sensor": [worse]})
    assert order == {"sensor": [worse], "split": [slow, fast]}
    assert enough == [slow]


def test_errors_may_be_lost_as_far_as_chance_goes() -> None:
    assert accurate_enough(images(8), images(4))  # four lost, none won: 1 in 16
    assert not accurate_enough(images(9), images(4))
    assert accurate_enough(images(3), images(4))


def leaning(mean_loss: float, spread: float) -> ImageScores:
    """400 images, all right, of less probability than 0.9 by `mean_loss` on average, more on one half of them."""
    loss = mean_loss + np.where(np.arange(IMAGES) % 2, spread, -spread)
    return ImageScores(np.ones(IMAGES, dtype=np.bool_), np.log(0.9 - loss))


def test_probability_may_be_lost_as_far_as_chance_goes() -> None:
    best = leaning(0.1, 0.0)  # losses that are 1.78 and 1.63 times their standard error
    assert not accurate_enough(leaning(0.1 + 0.016, 0.18), best)
    assert accurate_enough(leaning(0.1 + 0.016, 0.198), best)
    assert accurate_enough(leaning(0.05, 0.04), best)
    assert accurate_enough(best, best)


def test_a_trifle_of_probability_may_be_lost_for_sure() -> None:
    assert accurate_enough(leaning(0.0099, 0.0), leaning(0.0, 0.001))
    assert not accurate_enough(leaning(0.0101, 0.0), leaning(0.0, 0.001))


def test_a_system_without_an_accurate_network_is_said_to_have_none() -> None:
    class Biased(FormulaTuner):
        def one(self, architecture: Architecture, schedule: tuple[int, ...]) -> ImageScores:
            return images(100 if architecture.placement == "sensor" else 4)

    result = run(Biased())
    enough = {result.points[f.point].placement: f.accurate_enough for f in result.finalists}
    assert enough == {"sensor": False, "aggregator": True, "split": True}
    assert set(result.chosen) == {"sensor", "aggregator", "split"}


def test_finals_stopped_and_started_again_pay_only_for_the_rest(tmp_path: Path) -> None:
    whole = FormulaTuner()
    expected = run(whole)

    class Dies(FormulaTuner):
        def one(self, architecture: Architecture, schedule: tuple[int, ...]) -> ImageScores:
            if len(self.asked) == 7:
                raise KeyboardInterrupt
            return super().one(architecture, schedule)

    before, after = Dies(), FormulaTuner()
    with pytest.raises(KeyboardInterrupt):
        run(before, Journal(tmp_path / "j"))
    assert run(after, Journal(tmp_path / "j")) == expected
    assert before.asked + after.asked == whole.asked


def test_a_replay_fine_tunes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    first, tuner = run(FormulaTuner(), Journal(path)), FormulaTuner()
    assert run(tuner, Journal(path, replay=True)) == first
    assert tuner.asked == []
    with pytest.raises(ConfigError, match="replay: no fine-tuning of r"):
        run(tuner, Journal(path, replay=True), steps=51)


def test_a_damaged_trial_in_a_journal_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    run(FormulaTuner(), Journal(path))
    path.write_text(path.read_text().replace(f'"images":{IMAGES}', '"images":3'))
    with pytest.raises(ConfigError, match=r"journal\.jsonl: trial of r.*not of 3 images"):
        run(FormulaTuner(), Journal(path))


def test_progress_counts_up_to_the_last_trial() -> None:
    seen: list[FinalsProgress] = []
    search(
        TINY, PAPER, FormulaPredictor(TINY, PAPER), FormulaEvaluator(TINY), CONFIG,
        finals=Finals(tuner=FormulaTuner(), on_progress=seen.append),
    )  # fmt: skip
    assert [state.done for state in seen] == list(range(seen[-1].trials + 1))
    assert [state.trials for state in seen] == sorted(state.trials for state in seen)  # copies join late


def test_finalists_are_of_the_part_of_a_front_that_fine_tuning_can_lift() -> None:
    front = search(TINY, PAPER, FormulaPredictor(TINY, PAPER), FormulaEvaluator(TINY), CONFIG).front("split")
    picked = pick_finalists(front, 4)
    best = max(point.accuracy for point in front)
    near: list[Point] = [point for point in front if point.accuracy >= best - REACH]
    assert len(near) < len(front), "nothing was out of reach: nothing is tested below"
    assert len(picked) == min(4, len(near))
    assert all(point in near for point in picked)
    assert pick_finalists(front, 100) == near
    assert pick_finalists((), 4) == []


def test_the_knees_of_a_front_are_among_the_finalists() -> None:
    point = search(TINY, PAPER, FormulaPredictor(TINY, PAPER), FormulaEvaluator(TINY), CONFIG).points[0]
    front = [(100, -0.40), (105, -0.39), (110, -0.38), (200, -0.10), (205, -0.099), (900, -0.097), (950, -0.03)]
    points = [replace(point, accuracy=0.95, total_us=us, log_likelihood=said) for us, said in front]
    assert [p.total_us for p in pick_finalists(points, 3)] == [100, 200, 950]


def test_without_finals_the_choice_rests_on_shared_weights() -> None:
    result = search(TINY, PAPER, FormulaPredictor(TINY, PAPER), FormulaEvaluator(TINY), CONFIG)
    assert result.finalists == ()
    reached = min(max(p.accuracy for p in result.front(name)) for name in result.fronts)
    for name, point in result.best.items():
        assert point.total_us == min(p.total_us for p in result.front(name) if p.accuracy >= reached)
