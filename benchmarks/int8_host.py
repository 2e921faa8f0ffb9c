"""Integer networks against the same ones in float32, and against ONNX Runtime on the same quantised graph.

Networks of `cifar` and `mobile` with random weights, whole and both halves, quantised on random inputs; batch 1, one
thread. The four take turns in short bursts; ratios of medians, below 1 is faster.

    python benchmarks/int8_host.py [--networks 20] [--repeats 60] [--mcpu haswell] [--json]

`--mcpu` compiles for another processor of this kind, such as one without the products of bytes that this one has;
ONNX Runtime is then given by what it does here.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from compile_vs_ort import Runtime, feeds, graphs, interleaved, networks
from report import emit, status
from splitkit.exporters import CompileTarget, get_exporter
from splitkit.graphs.calibrate import quantise
from splitkit.graphs.int8.patterns import in_integers
from splitkit.graphs.reading import read_onnx

FLOATS = frozenset({"Conv", "Gemm", "MatMul"})
"""Layers that should be in integers."""


def geomean(values: list[float]) -> float:
    """Geometric mean."""
    return float(np.exp(np.log(values).mean()))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mcpu", help="LLVM's name of another x86 processor")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    spec = {"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": args.mcpu} if args.mcpu else {"kind": "host"}
    target = CompileTarget(spec, 1)
    exporters = {"int8": "tvm", "float32": "tvm", "ort int8": "onnxruntime", "ort float32": "onnxruntime"}
    runtimes = {name: Runtime(exporter) for name, exporter in exporters.items()}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for space, name, architecture in networks(args.networks, args.seed):
            for part, model in graphs(space, architecture).items():
                status(f"{name}, {part}")
                models = {"float32": model, "int8": quantise(model, [feeds(model)])}
                left = sum(node.op in FLOATS for node in in_integers(read_onnx(models["int8"])).nodes)
                for what, runtime in runtimes.items():
                    folder = Path(scratch) / f"{name}-{part}-{what}".replace(" ", "-")
                    precision = what.rpartition(" ")[2]
                    own = target if exporters[what] == "tvm" else CompileTarget({"kind": "host"}, 1)
                    artifact = get_exporter(exporters[what]).compile(models[precision], own, folder)
                    runtime.ask("load", artifact.path)
                times = interleaved(runtimes, args.repeats)
                rows.append(
                    {
                        "network": name,
                        "part": part,
                        **{f"{what} us": us for what, us in times.items()},
                        "over float32": times["int8"] / times["float32"],
                        "over ort int8": times["int8"] / times["ort int8"],
                        "layers in float32": left,
                    }
                )
    for runtime in runtimes.values():
        runtime.close()
    figures: dict[str, float] = {}
    for over in ("float32", "ort int8"):
        ratios = [row[f"over {over}"] for row in rows]
        label = over.replace(" ", "_")
        figures |= {f"geomean_over_{label}": geomean(ratios), f"worst_over_{label}": max(ratios)}
        for space in ("mobile", "cifar"):
            figures[f"geomean_over_{label}_{space}"] = geomean(
                [row[f"over {over}"] for row in rows if row["network"].startswith(space)]
            )
    figures["ort_int8_over_ort_float32"] = geomean([row["ort int8 us"] / row["ort float32 us"] for row in rows])
    figures["layers_in_float32"] = float(sum(row["layers in float32"] for row in rows))
    emit("int8_host", figures, rows, as_json=args.json, notes=f"kernels for {args.mcpu or 'this processor'}")


if __name__ == "__main__":
    main()
