"""splitkit's TVM kernels beside the other ways to run the same whole network: one thread, batch 1, interleaved.

TVM's default pipeline always; OpenVINO (float32 asked for: it would silently use bf16 where it can), torch.compile and
MetaSchedule (`--metaschedule`, 16 trials per task, minutes per network) where installed and asked for. Figures are
ratios of medians, splitkit / peer: below 1 splitkit is faster.

    python benchmarks/compile_peers.py [--networks 6] [--metaschedule 2] [--json]
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from compile_vs_ort import feeds, graphs, networks
from report import emit
from splitkit.exporters import CompileTarget, get_exporter

Runner = Callable[[], Any]


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


def tvm_runner(model: onnx.ModelProto, trials: int = 0) -> Runner:
    """TVM's own default pipeline, or MetaSchedule with `trials` per task."""
    import tvm
    from tvm import relax
    from tvm.relax.frontend.onnx import from_onnx
    from tvm.target import codegen

    spec = {"kind": "llvm", "mcpu": codegen.llvm_get_system_cpu(), "num-cores": 1}
    target = tvm.target.Target(spec)
    module = from_onnx(model, keep_params_in_input=False)
    if trials:
        pipeline = [relax.get_pipeline("zero"), relax.transform.BindParams("main", {})]
        module = tvm.transform.Sequential(pipeline)(module)
        with target, tempfile.TemporaryDirectory() as work:
            # One task per distinct kernel; `max_trials_per_task` bounds each, the total never binds.
            tuned = tvm.transform.Sequential(
                [
                    relax.transform.MetaScheduleTuneIRMod({}, work, 100_000, trials),
                    relax.transform.MetaScheduleApplyDatabase(work),
                ]
            )(module)
        executable = tvm.compile(tuned, target=target)
    else:
        executable = tvm.compile(module, target=target)
    machine = relax.VirtualMachine(executable, tvm.cpu())
    arrays = [tvm.runtime.tensor(value) for value in feeds(model).values()]
    return lambda: machine["main"](*arrays)


def interleaved(runners: dict[str, Runner], repeats: int) -> dict[str, float]:
    """Median us of each runner, taking turns."""
    samples: dict[str, list[float]] = {name: [] for name in runners}
    for turn in range(repeats + 5):
        for name, run in runners.items():
            start = time.perf_counter_ns()
            run()
            if turn >= 5:
                samples[name].append((time.perf_counter_ns() - start) / 1e3)
    return {name: float(np.median(values)) for name, values in samples.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--metaschedule", type=int, default=0, metavar="N", help="tune the last N networks as well")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows: list[dict[str, Any]] = []
    picked = networks(args.networks, 0)
    with tempfile.TemporaryDirectory() as scratch:
        for i, (space_name, name, architecture) in enumerate(picked):
            model = graphs(space_name, architecture)["whole"]
            makers: dict[str, Callable[[], Runner]] = {
                "splitkit": lambda m=model, n=name: splitkit_runner("tvm", m, Path(scratch) / n),
                "onnxruntime": lambda m=model, n=name: splitkit_runner("onnxruntime", m, Path(scratch) / f"{n}-ort"),
                "openvino": lambda m=model, n=name: openvino_runner(m, Path(scratch) / f"{n}-ov"),
                "inductor": lambda m=model: inductor_runner(m),
                "tvm_default": lambda m=model: tvm_runner(m),
            }
            if i >= len(picked) - args.metaschedule:
                makers["metaschedule"] = lambda m=model: tvm_runner(m, trials=16)
            runners, built_s = {}, {}
            for peer, make in makers.items():
                start = time.perf_counter()
                try:
                    runners[peer] = make()
                except ImportError:
                    continue
                built_s[peer] = time.perf_counter() - start
            times = interleaved(runners, args.repeats)
            for peer in runners:
                ratio = times["splitkit"] / times[peer]
                rows.append(
                    {"network": name, "peer": peer, "ratio": ratio, "us": times[peer], "build_s": built_s[peer]}
                )
    figures: dict[str, float] = {}
    for peer in sorted({row["peer"] for row in rows} - {"splitkit"}):
        ratios = np.array([row["ratio"] for row in rows if row["peer"] == peer])
        figures[f"geomean_vs_{peer}"] = float(np.exp(np.log(ratios).mean()))
        figures[f"build_s_{peer}"] = float(np.median([row["build_s"] for row in rows if row["peer"] == peer]))
    figures["build_s_splitkit"] = float(np.median([row["build_s"] for row in rows if row["peer"] == "splitkit"]))
    emit("compile_peers", figures, rows, as_json=args.json, notes="ratio = splitkit / peer, medians, from Python")


if __name__ == "__main__":
    main()
