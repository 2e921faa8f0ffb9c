"""Ten architectures that are not from splitkit's spaces, at real sizes: splitkit's TVM kernels against ONNX Runtime.

Batch 1, untuned, ONNX Runtime with all graph optimisations, timed interleaved, ratio of medians (below 1 is faster than
ONNX Runtime). `fallbacks` counts operators that have no schedule here and run as TVM's default lowering has them.

    python benchmarks/outsiders.py [--only residual dense] [--repeats 60] [--threads 1 2] [--json]
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from compile_vs_ort import Runtime, feeds, interleaved, relative_error
from outsider_networks import OUTSIDERS, outsider
from report import emit
from splitkit.exporters import CompileTarget, get_exporter


def measured(
    name: str, runtimes: dict[str, Runtime], threads: list[int], repeats: int, scratch: Path
) -> dict[str, Any]:
    """The row of one network."""
    exporters = {"tvm": get_exporter("tvm"), "ort": get_exporter("onnxruntime")}
    model = outsider(name)
    row: dict[str, Any] = {"network": name}
    for count in threads:
        artifacts = {}
        for runtime, exporter in exporters.items():
            start = time.perf_counter()
            artifacts[runtime] = exporter.compile(
                model, CompileTarget({"kind": "host"}, count), scratch / f"{runtime}{count}"
            )
            row.setdefault(f"{runtime}_compile_s", time.perf_counter() - start)
            runtimes[runtime].ask("load", artifacts[runtime].path)
        if "error" not in row:
            ours, inputs = artifacts["tvm"], feeds(model)
            row |= {"gmacs": sum(kernel.macs for kernel in ours.kernels) / 1e9, "kernels": len(ours.kernels)}
            row["fallbacks"] = sum(ours.report["fallback"].values())
            row["fallback_operators"] = " ".join(f"{k}:{v}" for k, v in sorted(ours.report["fallback"].items()))
            row["error"] = relative_error(*(runtimes[n].ask("run", inputs) for n in ("tvm", "ort")))
        times = interleaved(runtimes, repeats)
        row[f"ratio_{count}t"] = times["tvm"] / times["ort"]
        row |= {f"{runtime}_us_{count}t": us for runtime, us in times.items()}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=OUTSIDERS, default=list(OUTSIDERS), metavar="NAME")
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    runtimes = {"tvm": Runtime("tvm"), "ort": Runtime("onnxruntime")}
    with tempfile.TemporaryDirectory() as scratch:
        rows = [measured(name, runtimes, args.threads, args.repeats, Path(scratch) / name) for name in args.only]
    for runtime in runtimes.values():
        runtime.close()
    figures: dict[str, float] = {"architectures": float(len(rows)), "max_error": max(row["error"] for row in rows)}
    for count in args.threads:
        ratios = np.array([row[f"ratio_{count}t"] for row in rows])
        figures[f"geomean_{count}t"] = float(np.exp(np.log(ratios).mean()))
        figures[f"worst_{count}t"] = float(ratios.max())
    figures["fallback_operators"] = float(sum(row["fallbacks"] for row in rows))
    figures["worst_compile_s"] = max(row["tvm_compile_s"] for row in rows)
    emit("outsiders", figures, rows, as_json=args.json, notes="ratio = splitkit TVM / ONNX Runtime, medians")


if __name__ == "__main__":
    main()
