"""onnx's own backend cases through the TVM exporter: right, wrong, refused in one line, or worse.

Every operator of ONNX with its attributes, and graphs that PyTorch's old exporter wrote (2,024 cases that come with the
package). A case is compiled and run in a worker process; one that ends its process is counted as crashed and a new
worker takes the next. `passed`, `wrong`, `raised` (an exception that is no `ModelError`, or one of several lines),
`crashed` and `refused` count the cases with a float32 input, as cameras' networks have; `others_*` the rest.

    python benchmarks/onnx_conformance.py [--only PATTERN] [--workers 2] [--timeout 120] [--json]
"""

import argparse
import fnmatch
import multiprocessing
import os
import re
import tempfile
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from report import emit, status

KINDS = ("node", "pytorch-converted", "pytorch-operator", "simple")
ABSOLUTE, RELATIVE = 1e-6, 1e-3
"""Tolerances: onnx's own relative one; the absolute one is of the largest expected value (at least of 1)."""
VERDICTS = ("passed", "wrong", "crashed", "raised", "refused")


@dataclass(frozen=True)
class Case:
    """A model, its inputs in the graph's order and the outputs they give, one pair per data set."""

    name: str
    model: bytes
    data: tuple[tuple[list[Any], list[Any]], ...]
    float32: bool


@dataclass(frozen=True)
class Verdict:
    """What became of a case: one of `VERDICTS`, and why."""

    kind: str
    reason: str = ""


def cases(pattern: str) -> Iterator[Case]:
    """The cases that come with onnx whose names match."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, on infinities that onnx puts into its own cases on purpose
        from onnx.backend.test.loader import load_model_tests

        found = [case for kind in KINDS for case in load_model_tests(kind=kind)]
    for case in found:
        if not fnmatch.fnmatch(case.name, pattern):
            continue
        model, data = case.model, case.data_sets
        if model is None:
            folder = Path(case.model_dir)
            model = onnx.load(folder / "model.onnx")
            data = [_data_set(each) for each in sorted(folder.glob("test_data_set_*"))]
        yield Case(case.name, model.SerializeToString(), tuple(data), _reads_float32(model))


def _data_set(folder: Path) -> tuple[list[Any], list[Any]]:
    def arrays(role: str) -> list[Any]:
        files = sorted(folder.glob(f"{role}_*.pb"), key=lambda f: int(re.findall(r"\d+", f.stem)[-1]))
        return [numpy_helper.to_array(onnx.load_tensor(file)) for file in files]

    return arrays("input"), arrays("output")


def _reads_float32(model: onnx.ModelProto) -> bool:
    return any(v.type.tensor_type.elem_type == TensorProto.FLOAT for v in model.graph.input)


def judge(case: Case) -> Verdict:
    """Compile and run a case in this process."""
    from splitkit.errors import ModelError
    from splitkit.exporters import CompileTarget
    from splitkit.exporters.tvm import TvmExporter

    model, exporter = onnx.load_model_from_string(case.model), TvmExporter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            session = exporter.load(exporter.compile(model, CompileTarget(), Path(folder)))
            for inputs, outputs in case.data:
                names = (v.name for v in model.graph.input)
                feeds = {n: np.asarray(v) for n, v in zip(names, inputs, strict=False) if n in _read(session)}
                got = session.run(feeds)
                for value, expected in zip(model.graph.output, outputs, strict=False):
                    if not _equal(got[value.name], np.asarray(expected)):
                        return Verdict("wrong", f"output {value.name!r}")
    except ModelError as error:
        return Verdict("raised" if "\n" in str(error) else "refused", str(error))
    except Exception as error:
        return Verdict("raised", f"{type(error).__name__}: {error}".splitlines()[0])
    return Verdict("passed")


def _read(session: Any) -> set[str]:
    return {tensor.name for tensor in session.artifact.inputs}


def _equal(got: np.ndarray, expected: np.ndarray) -> bool:
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return False
    if got.dtype.kind not in "fc":
        return bool(np.array_equal(got, expected))
    scale = max([1.0, *np.abs(expected[np.isfinite(expected)]).ravel().astype(float)])
    relative = max(RELATIVE, 4 * float(np.finfo(got.dtype).eps))
    return np.allclose(got, expected, rtol=relative, atol=ABSOLUTE * scale, equal_nan=True)


def _serve(pipe: Connection) -> None:
    """Judge cases until the parent closes the pipe; what the compiler prints goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    while True:
        try:
            case = pipe.recv()
        except EOFError:
            return
        pipe.send(judge(case))


class Worker:
    """A process that judges one case after the other, replaced when a case ends it or takes too long."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def judge(self, case: Case) -> Verdict:
        self.pipe.send(case)
        try:
            if self.pipe.poll(self.timeout_s):
                verdict: Verdict = self.pipe.recv()
                return verdict
            reason = f"no answer in {self.timeout_s:g} s"
            self.process.kill()
        except (EOFError, ConnectionResetError):
            reason = "its process ended"
        self.process.join()
        self._start()
        return Verdict("crashed", reason)

    def close(self) -> None:
        self.pipe.close()
        self.process.join()


def judge_all(chosen: list[Case], workers: int, timeout_s: float) -> dict[str, Verdict]:
    """The verdict on every case by name."""
    waiting: Queue[Case] = Queue()
    for case in chosen:
        waiting.put(case)
    verdicts: dict[str, Verdict] = {}

    def work() -> None:
        worker = Worker(timeout_s)
        while True:
            try:
                case = waiting.get_nowait()
            except Empty:
                break
            verdicts[case.name] = worker.judge(case)
            status(f"{len(verdicts)} of {len(chosen)} cases")
        worker.close()

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    status("")
    return {case.name: verdicts[case.name] for case in chosen}


def refused_operator(case: Case, reason: str) -> str:
    """The operator that a refusal names, else those of the graph."""
    if named := re.search(r"\((\w+)\)", reason):
        return named.group(1)
    graph = onnx.load_model_from_string(case.model).graph
    return "+".join(dict.fromkeys(node.op_type for node in graph.node))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="*", metavar="PATTERN", help="names of cases, such as 'test_resize_*'")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds a case may take")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    chosen = list(cases(args.only))
    verdicts = judge_all(chosen, args.workers, args.timeout)
    figures: dict[str, float] = {}
    for prefix, float32 in (("", True), ("others_", False)):
        counted = Counter(verdicts[case.name].kind for case in chosen if case.float32 == float32)
        figures |= {f"{prefix}{kind}": float(counted[kind]) for kind in VERDICTS}
    rows: list[dict[str, Any]] = [
        {"verdict": verdicts[c.name].kind, "float32": c.float32, "case": c.name, "reason": verdicts[c.name].reason}
        for c in chosen
        if verdicts[c.name].kind not in ("passed", "refused")
    ]
    refused = Counter(
        refused_operator(case, verdicts[case.name].reason)
        for case in chosen
        if case.float32 and verdicts[case.name].kind == "refused"
    )
    examples = {refused_operator(c, v.reason): v.reason for c in chosen if (v := verdicts[c.name]).kind == "refused"}
    rows += [
        {"verdict": "refused", "float32": True, "case": f"{operator}: {count}", "reason": examples[operator]}
        for operator, count in refused.most_common()
    ]
    emit("onnx_conformance", figures, rows, as_json=args.json, notes="counts of cases; refusals by operator")


if __name__ == "__main__":
    main()
