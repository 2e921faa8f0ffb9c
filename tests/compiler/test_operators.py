"""Every operator that TVM's importer takes, attribute by attribute and opset by opset, against ONNX Runtime.

A combination is computed as ONNX Runtime computes it without optimisation, or refused in one line; which ones are
refused is pinned in `refused_operators.json`. Combinations of an opset are compiled together, as one graph of many
parts, because compiling is what takes time.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from splitkit.errors import ModelError
from splitkit.exporters import CompileTarget
from splitkit.exporters.tvm import TvmExporter
from splitkit.graphs.reading import read_onnx
from tests.compiler.operator_table import ELSEWHERE, NEWEST, OLDEST, ROWS, Combination, combinations, opsets

PINNED = Path(__file__).with_name("refused_operators.json")
"""What is refused: opset -> label -> message. `python -m tests.compiler.test_operators` writes it anew."""
QUICK = 13
"""The opset of the fast suite: one that most operators have a version of."""
SEED = 1
BATCH = 60
"""Combinations that are compiled together."""

Arrays = dict[str, NDArray[Any]]


def expected(combination: Combination, feeds: Arrays) -> list[NDArray[Any]] | None:
    """What ONNX Runtime computes, or onnx's reference where the runtime has no such operator; None if neither has."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    try:
        body = combination.model.SerializeToString()
        session = onnxruntime.InferenceSession(body, options, providers=["CPUExecutionProvider"])
        return [np.asarray(value) for value in session.run(None, feeds)]
    except Exception:  # onnxruntime's exceptions share no public base class
        pass
    try:
        return [np.asarray(value) for value in ReferenceEvaluator(combination.model).run(None, dict(feeds))]
    except Exception:  # nor do those of onnx's reference
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


def fingerprint(combination: Combination) -> str:
    """What is compiled and fed: combinations of several opsets that read alike are compiled once.

    Raises:
        ModelError: the model cannot be read.
    """
    graph = read_onnx(combination.model)
    places: dict[str, int] = {"": -1}

    def place(name: str) -> tuple[Any, ...]:
        constant = graph.constants.get(name)
        known = (constant.dtype, constant.shape, constant.tobytes()) if constant is not None else graph.types.get(name)
        return places.setdefault(name, len(places)), known

    said = [
        (n.op, [place(i) for i in n.inputs], [place(o) for o in n.outputs], sorted(n.attrs.items()))
        for n in graph.nodes
    ]
    return hashlib.sha256(repr([graph.inputs, said, sorted(combination.fed.items())]).encode()).hexdigest()


class Outcomes:
    """What became of every fingerprint: a refusal's message, or the outputs."""

    def __init__(self) -> None:
        self.found: dict[str, str | list[NDArray[Any]]] = {}

    def of(self, chosen: Sequence[Combination], directory: Path | None) -> dict[str, str | list[NDArray[Any]]]:
        """By label. Without a directory nothing is compiled, and what is taken has no outputs."""
        prints: dict[str, str] = {}
        waiting: dict[str, Combination] = {}
        for combination in chosen:
            try:
                prints[combination.label] = fingerprint(combination)
                if prints[combination.label] not in {**self.found, **waiting}:
                    TvmExporter().lower(combination.model, CompileTarget())
                    waiting[prints[combination.label]] = combination
            except ModelError as error:
                self.found[prints.setdefault(combination.label, combination.label)] = str(error)
        for start in range(0, len(waiting), BATCH):
            self._run(dict(list(waiting.items())[start : start + BATCH]), directory)
        return {label: self.found[printed] for label, printed in prints.items()}

    def _run(self, parts: dict[str, Combination], directory: Path | None) -> None:
        if directory is None:
            self.found |= {printed: [] for printed in parts}
            return
        whole = joined(list(parts.values()))
        session = TvmExporter().load(TvmExporter().compile(whole, CompileTarget(), directory))
        feeds = [part.feeds(SEED) for part in parts.values()]
        got = session.run({f"{i}/{name}": value for i, fed in enumerate(feeds) for name, value in fed.items()})
        for i, (printed, part) in enumerate(parts.items()):
            self.found[printed] = [got[f"{i}/{output.name}"] for output in part.model.graph.output]


OUTCOMES = Outcomes()


def check(opset: int, directory: Path, chosen: Sequence[Combination]) -> None:
    outcomes = OUTCOMES.of(chosen, directory)
    refused = {label: outcome for label, outcome in outcomes.items() if isinstance(outcome, str)}
    for message in refused.values():
        assert "\n" not in message
        assert "'node" in message or "graph " in message
    wrong = []
    for combination in chosen:
        got, wanted = outcomes[combination.label], expected(combination, combination.feeds(SEED))
        if isinstance(got, str) or wanted is None:
            continue
        if not all(agree(*pair) for pair in zip(got, wanted, strict=True)):
            wrong.append(combination.label)
    assert not wrong
    pinned: dict[str, dict[str, str]] = json.loads(PINNED.read_text(encoding="utf-8"))
    assert refused.keys() == pinned.get(str(opset), {}).keys() & outcomes.keys()


def test_one_combination_of_every_row_is_right_or_refused(tmp_path: Path) -> None:
    first = {c.label.split(" ")[0]: c for c in reversed(list(combinations(QUICK)))}
    check(QUICK, tmp_path, list(first.values()))


@pytest.mark.slow
@pytest.mark.parametrize("opset", opsets())
def test_every_combination_is_right_or_refused(opset: int, tmp_path: Path) -> None:
    check(opset, tmp_path, list(combinations(opset)))


def test_the_table_holds_every_operator_of_the_importer() -> None:
    from tvm.relax.frontend.onnx import onnx_frontend

    assert {row.op for row in ROWS} | ELSEWHERE.keys() >= onnx_frontend._get_convert_map().keys()
    assert opsets()[0] == OLDEST
    assert opsets()[-1] == NEWEST


def write_anew() -> None:
    """Pin what is refused now."""
    outcomes = {opset: OUTCOMES.of(list(combinations(opset)), None) for opset in opsets()}
    refused = {
        o: {label: said for label, said in found.items() if isinstance(said, str)} for o, found in outcomes.items()
    }
    PINNED.write_text(json.dumps({o: r for o, r in refused.items() if r}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_anew()
