"""splitkit's TVM kernels against ONNX Runtime (all graph optimisations on): whole networks and both halves.

Batch 1, untuned, random weights; every pair is timed interleaved, ratio of medians (below 1 is faster
than ONNX Runtime). That taking turns hurts neither runtime is shown by timing each whole network again without turns:
`turns_over_alone` is the geometric mean of what turns cost each. `compile_s` is the slowest whole network's; importing
the compiler, once in a process, is `import_s`.

    python benchmarks/compile_vs_ort.py [--networks 20] [--repeats 60] [--threads 1 2] [--json]
"""

import argparse
import importlib
import multiprocessing
import os
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from report import emit
from splitkit.exporters import Artifact, CompileTarget, Session, get_exporter
from splitkit.graphs.render import render
from splitkit.space import Sampler, describe, load_space
from splitkit.space.architecture import Architecture

ROUNDS = 12
SETTLE_S = 0.03


def networks(count: int, seed: int) -> list[tuple[str, str, Architecture]]:
    """(space, name, architecture): half of them `mobile`, half `cifar`, cut somewhere inside."""
    picked = []
    for space_name, share in (("mobile", count // 2), ("cifar", count - count // 2)):
        sampler = Sampler(load_space(space_name).restricted("split"), np.random.default_rng(seed))
        picked += [(space_name, f"{space_name}-{i}", sampler.uniform()) for i in range(share)]
    return picked


def graphs(space_name: str, architecture: Architecture) -> dict[str, onnx.ModelProto]:
    """The whole network (uncut) and both halves."""
    space = load_space(space_name)
    uncut = Architecture(**{f: getattr(architecture, f) for f in Architecture.__slots__} | {"split": 0, "fuse": 0})
    halves = describe(space, architecture)
    return {
        "whole": render(describe(space, space.canonical(uncut)).operators("aggregator")),
        "sensor": render(halves.operators("sensor")),
        "aggregator": render(halves.operators("aggregator")),
    }


def feeds(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Random inputs of the graph's shapes and dtypes."""
    rng = np.random.default_rng(0)
    values = {}
    for tensor in model.graph.input:
        shape = [d.dim_value for d in tensor.type.tensor_type.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.type.tensor_type.elem_type)
        values[tensor.name] = rng.integers(0, 256, shape, dtype=np.uint8).astype(dtype)
        if dtype != np.uint8:
            values[tensor.name] = rng.standard_normal(shape).astype(dtype)
    return values


def output_dtype(model: onnx.ModelProto) -> str:
    """Numpy name of the dtype of a graph's one output."""
    return str(onnx.helper.tensor_dtype_to_np_dtype(model.graph.output[0].type.tensor_type.elem_type))


class Runtime:
    """An exporter's sessions in a process of their own.

    With as many threads as processors, two runtimes in one process do not leave each other alone: worker threads poll
    for a while after a run, and where one runtime pins threads the kernel's scheduler keeps the other's off that CPU.
    """

    def __init__(self, exporter: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(exporter, theirs), daemon=True)
        self.process.start()

    def close(self) -> None:
        """End the process."""
        self.pipe.close()
        self.process.join()

    def ask(self, what: str, argument: Any) -> Any:
        """`load` an artifact, `run` inputs, or `time` so many runs."""
        self.pipe.send((what, argument))
        return self.pipe.recv()


def _serve(exporter: str, pipe: Connection) -> None:
    session: Session | None = None
    while True:
        try:
            what, argument = pipe.recv()
        except EOFError:  # the benchmark is done
            return
        if what == "load":
            artifact = Artifact.load(argument)
            os.sched_setaffinity(0, set(range(artifact.target.threads)))
            session = get_exporter(exporter).load(artifact)
            pipe.send(None)
            continue
        assert session is not None
        pipe.send(session.run(argument) if what == "run" else session.time_ns(argument))


def alone(runtimes: dict[str, Runtime], repeats: int) -> dict[str, float]:
    """Median us of each runtime's session in the same bursts, one runtime after the other."""
    return {name: interleaved({name: runtime}, repeats)[name] for name, runtime in runtimes.items()}


def interleaved(runtimes: dict[str, Runtime], repeats: int) -> dict[str, float]:
    """Median us of each runtime's session; they take turns in short bursts, so that drift meets all of them."""
    samples: dict[str, list[np.ndarray]] = {name: [] for name in runtimes}
    for _ in range(ROUNDS):
        for name, runtime in runtimes.items():
            time.sleep(SETTLE_S)
            runtime.ask("time", 3)
            samples[name].append(runtime.ask("time", -(-repeats // ROUNDS)))
    return {name: float(np.median(np.concatenate(values))) / 1e3 for name, values in samples.items()}


def relative_error(ours: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> float:
    """Largest difference over the reference's largest magnitude; uint8 borders count LSBs over 255.

    A float16 border may differ by one unit in the last place, up to 1e-3 of the value, where rounding flips.
    """
    worst = 0.0
    for a, b in zip(ours.values(), reference.values(), strict=True):
        scale = 255.0 if b.dtype == np.uint8 else float(np.abs(b.astype(np.float64)).max())
        assert scale > 1e-3, "the reference output vanishes: the comparison would prove nothing"
        worst = max(worst, float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max()) / scale)
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    tvm, ort = get_exporter("tvm"), get_exporter("onnxruntime")
    start = time.perf_counter()
    importlib.import_module("tvm.relax")
    import_s = time.perf_counter() - start
    runtimes = {"tvm": Runtime("tvm"), "ort": Runtime("onnxruntime")}
    rows: list[dict[str, Any]] = []
    compile_s: dict[str, list[float]] = {"mobile": [], "cifar": []}
    turns: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for space_name, name, architecture in networks(args.networks, args.seed):
            for part, model in graphs(space_name, architecture).items():
                row: dict[str, Any] = {"network": name, "part": part, "output": output_dtype(model)}
                for threads in args.threads:
                    target = CompileTarget({"kind": "host"}, threads)
                    folder = Path(scratch) / f"{name}-{part}-{threads}"
                    start = time.perf_counter()
                    ours = tvm.compile(model, target, folder / "tvm")
                    if part == "whole" and threads == 1:
                        compile_s[space_name].append(time.perf_counter() - start)
                    theirs = ort.compile(model, target, folder / "ort")
                    runtimes["tvm"].ask("load", ours.path)
                    runtimes["ort"].ask("load", theirs.path)
                    if threads == 1:
                        inputs = feeds(model)
                        row["error"] = relative_error(*(runtimes[n].ask("run", inputs) for n in ("tvm", "ort")))
                    times = interleaved(runtimes, args.repeats)
                    row |= {f"ratio_{threads}t": times["tvm"] / times["ort"]}
                    row |= {f"{k}_us_{threads}t": v for k, v in times.items()}
                    if part == "whole":
                        undisturbed = alone(runtimes, args.repeats)
                        for k, v in times.items():
                            turns.setdefault(f"{k}_{threads}t", []).append(v / undisturbed[k])
                rows.append(row)
    for runtime in runtimes.values():
        runtime.close()
    figures: dict[str, float] = {}
    for threads in args.threads:
        ratios = np.array([row[f"ratio_{threads}t"] for row in rows])
        figures[f"geomean_{threads}t"] = float(np.exp(np.log(ratios).mean()))
        figures[f"worst_{threads}t"] = float(ratios.max())
        for part in ("whole", "sensor", "aggregator"):
            subset = np.array([row[f"ratio_{threads}t"] for row in rows if row["part"] == part])
            figures[f"geomean_{threads}t_{part}"] = float(np.exp(np.log(subset).mean()))
    if {1, 2} <= set(args.threads):
        figures["worst_2t_over_1t"] = max(row["tvm_us_2t"] / row["tvm_us_1t"] for row in rows)
    figures |= {f"turns_over_alone_{k}": float(np.exp(np.log(v).mean())) for k, v in turns.items()}
    figures |= {f"compile_s_{space}": float(np.max(times)) for space, times in compile_s.items() if times}
    figures["import_s"] = import_s
    for dtype in sorted({row["output"] for row in rows}):
        figures[f"max_error_{dtype}"] = max(row["error"] for row in rows if row["output"] == dtype)
    emit("compile_vs_ort", figures, rows, as_json=args.json, notes="ratio = splitkit TVM / ONNX Runtime, medians")


if __name__ == "__main__":
    main()
