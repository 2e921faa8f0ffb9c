"""Boards that time the same kernels check each other."""

import pytest

from splitkit.bench.agreement import Agreement

TIMES = {f"kernel {i}": 10.0 + i for i in range(8)}


def scaled(factor: float) -> dict[str, float]:
    return {key: factor * time for key, time in TIMES.items()}


def heard(factors: dict[str, float], table: dict[str, float] | None = None) -> Agreement:
    agreement = Agreement(0.15, table or {})
    for board, factor in factors.items():
        agreement.add(board, scaled(factor))
    return agreement


def test_boards_within_tolerance_agree() -> None:
    assert heard({"a": 1.0, "b": 1.1, "c": 0.95}).disagreeing(3) == {}


@pytest.mark.parametrize("factor", [1.4, 0.6, 3.0])
def test_the_one_that_deviates_is_named_and_no_other(factor: float) -> None:
    found = heard({"a": 1.0, "b": factor, "c": 1.02}).disagreeing(3)
    assert found == {"b": pytest.approx(factor, rel=0.05)}


def test_two_that_contradict_each_other_wait_for_a_third() -> None:
    agreement = heard({"a": 1.0, "b": 1.5})
    assert agreement.disagreeing(3) == {}
    agreement.add("c", scaled(1.5))
    assert set(agreement.disagreeing(3)) == {"a"}


def test_two_alone_are_both_not_believed() -> None:
    assert set(heard({"a": 1.0, "b": 1.5}).disagreeing(2)) == {"a", "b"}


def test_what_the_table_knew_is_a_source_that_is_never_refused() -> None:
    assert set(heard({"a": 1.0, "b": 1.5}, table=TIMES).disagreeing(2)) == {"b"}
    assert set(heard({"b": 1.5}, table=TIMES).disagreeing(1)) == {"b"}


def test_a_board_that_shares_too_little_is_not_judged() -> None:
    agreement = heard({"a": 1.0, "c": 1.0})
    agreement.add("b", {"kernel 1": 99.0, "other": 5.0})
    assert agreement.disagreeing(3) == {}
