"""Every operator that TVM's importer takes, attribute by attribute and opset by opset, against ONNX Runtime.

A combination is computed as ONNX Runtime computes it without optimisation, or refused in one line; which ones are
refused is pinned in `refused_operators.json`. Combinations of an opset are compiled together, as one graph of many
parts, because compiling is what takes time.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from splitkit.errors import ModelError
from splitkit.exporters import CompileTarget
from splitkit.exporters.tvm import TvmExporter
from tests.compiler.operator_table import ELSEWHERE, NEWEST, OLDEST, ROWS, Combination, combinations, opsets

PINNED = Path(__file__).with_name("refused_operators.json")
"""What is refused: opset -> label -> message. `python -m tests.compiler.test_operators` writes it anew."""
QUICK = (13,)
"""Opsets of the fast suite: the one that most operators have a version of."""
BATCH = 60
"""Combinations that are compiled together."""

Arrays = dict[str, NDArray[Any]]


def expected(combination: Combination, feeds: Arrays) -> list[NDArray[Any]] | None:
    """What ONNX Runtime computes; None where it has no such operator."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    try:
        body = combination.model.SerializeToString()
        session = onnxruntime.InferenceSession(body, options, providers=["CPUExecutionProvider"])
        return [np.asarray(value) for value in session.run(None, feeds)]
    except Exception:  # onnxruntime's exceptions share no public base class
        return None


def joined(parts: Sequence[Combination]) -> onnx.ModelProto:
    """One graph that holds them all side by side; names of part i begin with `i/`."""
    whole = onnx.ModelProto()
    whole.CopyFrom(parts[0].model)
    whole.ClearField("graph")
    whole.graph.name = "table"
    for i, part in enumerate(parts):
        graph = onnx.compose.add_prefix(part.model, f"{i}/").graph
        for kind in ("node", "input", "output", "initializer"):
            getattr(whole.graph, kind).extend(getattr(graph, kind))
    return whole


def agree(got: NDArray[Any], wanted: NDArray[Any]) -> bool:
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return False
    if got.dtype.kind != "f":
        # A quotient on the edge between two steps may fall on either side where it is rounded.
        steps = np.abs(got.astype(np.int64) - wanted.astype(np.int64)) if got.dtype.itemsize == 1 else got != wanted
        return int(steps.max(initial=0)) <= (got.dtype.itemsize == 1) and float((steps != 0).mean()) < 0.05
    tolerance = 2e-3 if got.dtype == np.float16 else 2e-5
    scale = max([1.0, *np.abs(wanted[np.isfinite(wanted)]).reshape(-1).astype(float)])
    return bool(np.allclose(got, wanted, rtol=tolerance, atol=tolerance * scale, equal_nan=True))


@cache
def sorted_out(opset: int) -> tuple[list[Combination], dict[str, str]]:
    """The combinations of an opset that are taken, and the messages of those that are refused."""
    taken, refused = [], {}
    for combination in combinations(opset):
        try:
            TvmExporter().lower(combination.model, CompileTarget())
            taken.append(combination)
        except ModelError as error:
            refused[combination.label] = str(error)
    return taken, refused


def check(opset: int, directory: Path) -> None:
    taken, refused = sorted_out(opset)
    for message in refused.values():
        assert "\n" not in message
        assert "'node" in message or "graph " in message
    wrong = []
    for start in range(0, len(taken), BATCH):
        parts = taken[start : start + BATCH]
        session = TvmExporter().load(TvmExporter().compile(joined(parts), CompileTarget(), directory))
        feeds = [part.feeds(seed=1) for part in parts]
        got = session.run({f"{i}/{name}": value for i, fed in enumerate(feeds) for name, value in fed.items()})
        for i, part in enumerate(parts):
            values = expected(part, feeds[i])
            names = [output.name for output in part.model.graph.output]
            if values is not None and not all(
                agree(got[f"{i}/{name}"], value) for name, value in zip(names, values, strict=True)
            ):
                wrong.append(part.label)
    assert not wrong
    pinned: dict[str, dict[str, str]] = json.loads(PINNED.read_text(encoding="utf-8"))
    assert refused.keys() == pinned.get(str(opset), {}).keys()


@pytest.mark.parametrize("opset", [o if o in QUICK else pytest.param(o, marks=pytest.mark.slow) for o in opsets()])
def test_every_combination_is_right_or_refused(opset: int, tmp_path: Path) -> None:
    check(opset, tmp_path)


def test_the_table_holds_every_operator_of_the_importer() -> None:
    from tvm.relax.frontend.onnx import onnx_frontend

    assert {row.op for row in ROWS} | ELSEWHERE.keys() >= onnx_frontend._get_convert_map().keys()
    assert opsets()[0] == OLDEST
    assert opsets()[-1] == NEWEST


def write_anew() -> None:
    """Pin what is refused now."""
    pinned = {str(opset): sorted_out(opset)[1] for opset in opsets()}
    PINNED.write_text(json.dumps({o: r for o, r in pinned.items() if r}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_anew()
