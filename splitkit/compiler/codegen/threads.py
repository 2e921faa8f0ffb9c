"""Calls in order on one thread or on several."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

SHARED = "splitkit.shared"
"""Attribute of the functions that all threads run at once; their last parameter is the thread's number."""


def is_shared(func: Any) -> bool:
    """Whether all threads run a kernel's function at once."""
    return SHARED in (func.attrs or {})


@dataclass(frozen=True)
class Step:
    """One call of an entry.

    Attributes:
        call: makes the statement; given the thread's number if the kernel is shared, else None.
        shared: whether all threads make the call, each for its share of the work.
        before: a statement of the first thread's that goes before it.
    """

    call: Callable[[Any], Any]
    shared: bool
    before: Any = None


def in_order(steps: Sequence[Step], threads: int) -> Any:
    """One statement that makes all the calls.

    With a shared one among them it forks once. All threads then walk through the calls together: the first one makes
    those that are not shared, and all wait for each other where one may read what another has written.
    """
    if not any(step.shared for step in steps):
        return _sequence([statement for step in steps for statement in _alone(step)])
    stages: list[Any] = []
    alone: list[Any] = []
    for step in steps:
        if not step.shared:
            alone += _alone(step)
            continue
        if alone:
            stages.append(_stage(partial(_first, alone), threads))
            alone = []
        stages.append(_stage(partial(_together, step), threads))
    if alone:
        stages.append(_stage(partial(_first, alone), threads))
    waiting = [_attribute("pragma_parallel_barrier_when_finish", stage) for stage in stages[:-1]]
    return _attribute("pragma_parallel_launch_point", _sequence([*waiting, stages[-1]]))


def _alone(step: Step) -> list[Any]:
    return [*([] if step.before is None else [step.before]), step.call(None)]


def _together(step: Step, thread: Any) -> Any:
    before = [] if step.before is None else [_first([step.before], thread)]
    return _sequence([*before, step.call(thread)])


def _first(statements: Sequence[Any], thread: Any) -> Any:
    from tvm import tirx

    return tirx.IfThenElse(thread == 0, _sequence(statements), None)


def _stage(body: Callable[[Any], Any], threads: int) -> Any:
    """A parallel loop, which inside a launch deals its numbers out to the threads: here each has one."""
    from tvm import tirx

    thread = tirx.Var("thread", "int32")
    return tirx.For(thread, 0, threads, tirx.ForKind.PARALLEL, body(thread))


def _attribute(name: str, body: Any) -> Any:
    from tvm import tirx

    return tirx.AttrStmt(tirx.IntImm("int32", 0), name, tirx.IntImm("int32", 1), body)


def _sequence(statements: Sequence[Any]) -> Any:
    from tvm import tirx

    return statements[0] if len(statements) == 1 else tirx.SeqStmt(list(statements))
