"""splitkit's TVM kernels beside the other ways to run the same whole network: one thread, batch 1, interleaved.

TVM's default pipeline always; OpenVINO (float32 asked for: it would silently use bf16 where it can), torch.compile and
MetaSchedule (`--metaschedule 2` tunes the two smallest networks, 16 trials per task, minutes each) where they and
xgboost are installed. Figures are ratios of medians, splitkit / peer: below 1 splitkit is faster. Build times are those
of one core, MetaSchedule's those of all. `--peers` times only some, `--keep FILE` adds the rows of an earlier run for
the others.

    python benchmarks/compile_peers.py [--networks 6] [--metaschedule 2] [--limit-s 900] [--json]
    python benchmarks/compile_peers.py --networks 6 --metaschedule 2 --peers metaschedule --keep RESULTS --json
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from compile_vs_ort import feeds, graphs, networks
from report import emit
from splitkit.exporters import CompileTarget, get_exporter

Runner = Callable[[], Any]

STOPPED = "stopped"
"""A file in MetaSchedule's database whose search did not end in the time there was."""
FASTER_START = """
import inspect

_find = inspect.getmodule
inspect.getmodule = lambda thing, filename=None: None if filename else _find(thing)
"""
"""For MetaSchedule's builders, which start anew for every task and give a kernel up after 30 s: importing TVM's tensor
intrinsics looks up the module of every stack frame, for 25 s where torch is installed, and for 5 s without that."""

BURST = 5
SETTLE_S = 0.01
"""Pause before a burst: worker threads of whoever ran before come to rest."""


def splitkit_runner(name: str, model: onnx.ModelProto, folder: Path) -> Runner:
    """The network through one of splitkit's exporters."""
    exporter = get_exporter(name)
    session = exporter.load(exporter.compile(model, CompileTarget({"kind": "host"}, 1), folder))
    inputs = feeds(model)
    return lambda: session.run(inputs)


def openvino_runner(model: onnx.ModelProto, folder: Path) -> Runner:
    """OpenVINO on the CPU, one thread, float32."""
    import openvino

    folder.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    core = openvino.Core()
    hints = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(core.read_model(folder / "model.onnx"), "CPU", hints).create_infer_request()
    inputs = feeds(model)
    return lambda: request.infer(inputs)


def inductor_runner(model: onnx.ModelProto) -> Runner:
    """torch.compile of the same graph, interpreted node by node in torch."""
    import torch

    torch.set_num_threads(1)
    module = torch.compile(_torch_function(model))
    inputs = [torch.from_numpy(value) for value in feeds(model).values()]

    def run() -> Any:
        with torch.inference_mode():
            return module(*inputs)

    run()
    return run


def _torch_function(model: onnx.ModelProto) -> Callable[..., Any]:
    """The rendered graph as a torch function. Only the operators that `render` writes."""
    import torch
    import torch.nn.functional as F

    weights = {w.name: torch.from_numpy(onnx.numpy_helper.to_array(w).copy()) for w in model.graph.initializer}
    names = [tensor.name for tensor in model.graph.input]
    nodes = [
        (n.op_type, list(n.input), n.output[0], {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute})
        for n in model.graph.node
    ]
    sizes = {name: tuple(value.tolist()) for name, value in weights.items() if value.dtype == torch.int64}

    def forward(*inputs: Any) -> Any:
        env = dict(weights) | dict(zip(names, inputs, strict=True))
        for kind, sources, output, attrs in nodes:
            x = env[sources[0]]
            if kind == "Conv":
                weight, bias = env[sources[1]], env[sources[2]]
                y = F.conv2d(x, weight, bias, attrs["strides"], attrs["pads"][:2], groups=attrs["group"])
            elif kind == "Gemm":
                y = F.linear(x, env[sources[1]], env[sources[2]])
            elif kind == "Reshape":
                y = x.reshape(sizes[sources[1]])
            elif kind == "Resize":
                y = F.interpolate(x, size=sizes[sources[3]][2:], mode="bilinear", align_corners=False)
            elif kind in ("Mul", "Add", "Sub"):
                y = {"Mul": torch.mul, "Add": torch.add, "Sub": torch.sub}[kind](x, env[sources[1]])
            elif kind == "Clip":
                y = torch.clamp(x, float(env[sources[1]]), float(env[sources[2]]))
            elif kind == "Cast":
                y = x.float()
            else:
                y = {
                    "Relu": F.relu,
                    "HardSwish": F.hardswish,
                    "HardSigmoid": F.hardsigmoid,
                    "Sigmoid": torch.sigmoid,
                    "GlobalAveragePool": lambda v: v.mean((2, 3), keepdim=True),
                }[kind](x)
            env[output] = y
        return y

    return forward


def tvm_runner(model: onnx.ModelProto, database: Path | None = None) -> Runner:
    """TVM's own default pipeline, or what MetaSchedule left in a database."""
    import tvm
    from tvm import relax
    from tvm.relax.frontend.onnx import from_onnx

    target = tvm_target()
    module = from_onnx(model, keep_params_in_input=False)
    if database is not None:
        with target:
            passes = [*_graph_passes(), relax.transform.MetaScheduleApplyDatabase(str(database))]
            module = tvm.transform.Sequential(passes)(module)
    executable = tvm.compile(module, target=target)
    machine = relax.VirtualMachine(executable, tvm.cpu())
    arrays = [tvm.runtime.tensor(value) for value in feeds(model).values()]
    return lambda: machine["main"](*arrays)


def tvm_target() -> Any:
    """This CPU as TVM knows it, one core."""
    import tvm
    from tvm.target import codegen

    return tvm.target.Target({"kind": "llvm", "mcpu": codegen.llvm_get_system_cpu(), "num-cores": 1})


def _graph_passes() -> list[Any]:
    from tvm import relax

    return [relax.get_pipeline("zero"), relax.transform.BindParams("main", {})]


def metaschedule_runner(model: onnx.ModelProto, database: Path, trials: int, limit_s: float) -> Runner:
    """TVM tuned by MetaSchedule, `trials` per task, on all processors, for at most `limit_s`.

    The search runs in a process of its own: stopped at the limit, what its database holds by then is what is timed.

    Raises:
        ImportError: xgboost is missing, which the search would find out after some minutes.
        RuntimeError: the search failed.
    """
    import xgboost  # noqa: F401

    database.mkdir(parents=True)
    (database / "sitecustomize.py").write_text(FASTER_START)
    onnx.save(model, database / "model.onnx")
    tuning = subprocess.Popen(
        [sys.executable, __file__, "--tune-into", str(database), "--trials", str(trials)],
        stdout=subprocess.DEVNULL,
        stderr=(database / "log").open("w"),
        env=os.environ | {"PYTHONPATH": str(database)},
        start_new_session=True,
    )
    try:
        if tuning.wait(limit_s) != 0:
            raise RuntimeError(f"MetaSchedule failed: {(database / 'log').read_text()[-500:]}")
    except subprocess.TimeoutExpired:
        print(f"MetaSchedule stopped after {limit_s:.0f} s, its tasks not all tuned", file=sys.stderr)
        (database / STOPPED).touch()
    finally:
        with suppress(ProcessLookupError):  # its builders and runners as well
            os.killpg(tuning.pid, signal.SIGKILL)
        tuning.wait()
    return tvm_runner(model, database)


def tune_into(database: Path, trials: int) -> None:
    """The tuning process: fills the database beside the model that lies there."""
    import tvm
    from tvm import relax
    from tvm.relax.frontend.onnx import from_onnx

    module = from_onnx(onnx.load(database / "model.onnx"), keep_params_in_input=False)
    with tvm_target():
        # One task per distinct kernel; the trials per task bound each, the total never binds.
        tuner = relax.transform.MetaScheduleTuneIRMod({}, str(database), 100_000, trials)
        tvm.transform.Sequential([*_graph_passes(), tuner])(module)


def interleaved(runners: dict[str, Runner], repeats: int) -> dict[str, float]:
    """Median us of each runner, taking turns in bursts whose first two runs only warm up."""
    samples: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(-(-repeats // BURST)):
        for name, run in runners.items():
            time.sleep(SETTLE_S)
            for i in range(BURST + 2):
                start = time.perf_counter_ns()
                run()
                if i >= 2:
                    samples[name].append((time.perf_counter_ns() - start) / 1e3)
    return {name: float(np.median(values)) for name, values in samples.items()}


@contextmanager
def all_processors() -> Iterator[None]:
    """Let what is started inside use every processor, this process being kept to one."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--metaschedule", type=int, default=0, metavar="N", help="tune the N smallest as well")
    parser.add_argument("--trials", type=int, default=16, help="of MetaSchedule, per task")
    parser.add_argument("--limit-s", type=float, default=900, help="of MetaSchedule, per network")
    parser.add_argument("--peers", nargs="+", help="time only these beside splitkit")
    parser.add_argument("--keep", type=Path, help="results whose other rows are kept")
    parser.add_argument("--tune-into", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.tune_into:
        tune_into(args.tune_into, args.trials)
        return

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        models = {name: graphs(space, a)["whole"] for space, name, a in networks(args.networks, 0)}
        tuned = sorted(models, key=lambda name: models[name].ByteSize())[: args.metaschedule]
        for name, model in models.items():
            if args.peers == ["metaschedule"] and name not in tuned:
                continue
            work = Path(scratch) / name
            makers: dict[str, Callable[[], Runner]] = {
                "splitkit": partial(splitkit_runner, "tvm", model, work / "tvm"),
                "onnxruntime": partial(splitkit_runner, "onnxruntime", model, work / "ort"),
                "openvino": partial(openvino_runner, model, work / "openvino"),
                "inductor": partial(inductor_runner, model),
                "tvm_default": partial(tvm_runner, model),
            }
            if name in tuned:
                makers["metaschedule"] = partial(
                    metaschedule_runner, model, work / "metaschedule", args.trials, args.limit_s
                )
            if args.peers:
                makers = {peer: make for peer, make in makers.items() if peer in ("splitkit", *args.peers)}
            runners, built_s = {}, {}
            for peer, make in makers.items():
                start = time.perf_counter()
                try:
                    with all_processors() if peer == "metaschedule" else nullcontext():
                        runners[peer] = make()
                except ImportError as error:
                    print(f"{peer}: {error}: left out", file=sys.stderr)
                    continue
                except RuntimeError as error:
                    print(f"{name}: {error}: left out", file=sys.stderr)
                    continue
                built_s[peer] = time.perf_counter() - start
            times = interleaved(runners, args.repeats)
            rows += [
                {"network": name, "peer": p, "ratio": times["splitkit"] / us, "us": us, "build_s": built_s[p]}
                | {"stopped": p == "metaschedule" and (work / p / STOPPED).exists()}
                for p, us in times.items()
            ]
    if args.keep:
        made = {(row["network"], row["peer"]) for row in rows if row["peer"] != "splitkit"}
        kept = [row for row in json.loads(args.keep.read_text())["rows"] if (row["network"], row["peer"]) not in made]
        rows = kept + [row for row in rows if row["peer"] != "splitkit"]
    emit(
        "compile_peers", figures_of(rows), rows, as_json=args.json, notes="ratio = splitkit / peer, medians, one thread"
    )


def figures_of(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Geometric means of the ratios and median build times, for every peer; how many times TVM's own way takes."""
    figures: dict[str, float] = {}
    for peer in sorted({row["peer"] for row in rows}):
        mine = [row for row in rows if row["peer"] == peer]
        figures[f"build_s_{peer}"] = float(np.median([row["build_s"] for row in mine]))
        if peer == "splitkit":
            continue
        ratios = np.array([row["ratio"] for row in mine])
        figures[f"geomean_vs_{peer}"] = float(np.exp(np.log(ratios).mean()))
        figures[f"worst_vs_{peer}"] = float(ratios.max())
        figures[f"networks_vs_{peer}"] = float(len(mine))
    if "networks_vs_metaschedule" in figures:
        figures["metaschedule_stopped"] = float(sum(row["stopped"] for row in rows))
    for peer in ("tvm_default", "metaschedule"):
        if f"geomean_vs_{peer}" in figures:
            figures[f"times_faster_than_{peer}"] = 1 / figures[f"geomean_vs_{peer}"]
    return figures


if __name__ == "__main__":
    main()
