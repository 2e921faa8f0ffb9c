"""The journal: nothing is asked twice, a torn line costs only itself, other conditions are refused."""

from pathlib import Path

import numpy as np
import pytest

from splitkit.errors import ConfigError
from splitkit.search import Journal
from splitkit.space import Architecture, Sampler
from tests.search.hardware import TINY, FormulaEvaluator

CONDITIONS = {"space": "tiny", "supernet": "abc"}


@pytest.fixture
def architectures() -> list[Architecture]:
    sampler = Sampler(TINY, np.random.default_rng(3))
    return [sampler.uniform() for _ in range(6)]


def test_only_unknown_architectures_are_asked_for_and_each_once(architectures: list[Architecture]) -> None:
    evaluator, journal = FormulaEvaluator(TINY), Journal()
    first = journal.score(evaluator, [*architectures[:3], architectures[0]])
    again = journal.score(evaluator, architectures)
    assert evaluator.asked == architectures
    assert first == [*again[:3], again[0]]


def test_a_reopened_journal_knows_everything(tmp_path: Path, architectures: list[Architecture]) -> None:
    path = tmp_path / "runs" / "a" / "journal.jsonl"
    first = Journal(path, CONDITIONS)
    values = first.score(FormulaEvaluator(TINY), architectures)
    first.measurement(architectures[0], lambda: {"total_us": 1.5})
    assert first.admission(architectures[1], lambda a: "too big") == "too big"
    evaluator, second = FormulaEvaluator(TINY), Journal(path, CONDITIONS, replay=True)
    assert second.score(evaluator, architectures) == values
    assert second.measurement(architectures[0], dict) == {"total_us": 1.5}
    assert second.admission(architectures[1], lambda a: None) == "too big"
    assert evaluator.asked == []


def test_a_torn_last_line_is_dropped_and_asked_again(tmp_path: Path, architectures: list[Architecture]) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, CONDITIONS)
    journal.score(FormulaEvaluator(TINY), architectures[:3])
    journal.score(FormulaEvaluator(TINY), architectures[3:])
    path.write_bytes(path.read_bytes()[:-20])
    evaluator = FormulaEvaluator(TINY)
    Journal(path, CONDITIONS).score(evaluator, architectures)
    assert evaluator.asked == architectures[3:]
    assert len(Journal(path, CONDITIONS).scores) == 6


@pytest.mark.parametrize("kept", [0, 1, 40])
def test_a_torn_header_is_written_again(tmp_path: Path, architectures: list[Architecture], kept: int) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path, CONDITIONS)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ConfigError, match="no journal to replay"):
        Journal(path, CONDITIONS, replay=True)
    Journal(path, CONDITIONS).score(FormulaEvaluator(TINY), architectures)
    assert len(Journal(path, CONDITIONS).scores) == 6


def test_other_conditions_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path, CONDITIONS)
    with pytest.raises(ConfigError, match=r"journal\.jsonl: supernet: .*'abc', now it is 'xyz'"):
        Journal(path, {**CONDITIONS, "supernet": "xyz"})
    with pytest.raises(ConfigError, match="data"):
        Journal(path, {**CONDITIONS, "data": "digits"})


def test_a_replay_asks_nothing(tmp_path: Path, architectures: list[Architecture]) -> None:
    path = tmp_path / "journal.jsonl"
    with pytest.raises(ConfigError, match="no journal to replay"):
        Journal(path, CONDITIONS, replay=True)
    Journal(path, CONDITIONS).score(FormulaEvaluator(TINY), architectures[:1])
    replay = Journal(path, CONDITIONS, replay=True)
    with pytest.raises(ConfigError, match="replay: no score of r"):
        replay.score(FormulaEvaluator(TINY), architectures)
    with pytest.raises(ConfigError, match="replay: no measurement"):
        replay.measurement(architectures[0], dict)


@pytest.mark.parametrize("text", ["nonsense", "nonsense\n", "[]\n", '{"schema_version": 9, "journal": "search"}\n'])
def test_a_file_that_is_no_journal_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"journal\.jsonl: not a search journal"):
        Journal(path, CONDITIONS)
