"""Whether two versions of the compiler generate the same code: what an entry in `SAME_KERNELS` rests on.

Compiles every kernel of networks drawn from each preset, for both sides of a system, and gives a digest of the machine
code. Run it on one machine in a checkout of either version: equal digests, equal kernels. A version whose kernels are
those of an older one may then go by the older name (`splitkit/compiler/version.py`); what was measured stays in use.

    python benchmarks/same_kernels.py [--system demo] [--networks 20] [--json]
"""

import argparse
import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from report import emit, status
from splitkit.devices import get_device
from splitkit.exporters import CompileTarget, Kernel, KernelExporter, get_exporter
from splitkit.graphs.render import render
from splitkit.profiles import load_system
from splitkit.profiles.schema import System
from splitkit.sides import Side
from splitkit.space import Sampler, describe, load_space
from splitkit.space.search_space import preset_names

CODE = {".o", ".so"}
"""Files of an artifact with machine code; the weights beside it are random ones."""


def compare(system: System, side: Side, networks: int) -> dict[str, Any]:
    """One side's line: how many distinct kernels there were, and the digest of their code."""
    device = get_device(system.device(side))
    exporter, target = get_exporter(device.profile.exporter), device.target()
    assert isinstance(exporter, KernelExporter)
    code: dict[str, str] = {}
    for preset in preset_names():
        space = load_space(preset)
        sampler = Sampler(space, np.random.default_rng(0))
        for _ in range(networks):
            operators = tuple(describe(space, sampler.uniform()).operators(side))
            for kernel in exporter.lower(render(operators), target) if operators else ():
                if kernel.key not in code:
                    status(f"{side}: {len(code)} kernels")
                    code[kernel.key] = digest(exporter, kernel, target)
    whole = hashlib.sha256(repr(sorted(code.items())).encode()).hexdigest()
    return {"side": side, "version": exporter.version, "kernels": len(code), "code": whole[:16]}


def digest(exporter: KernelExporter, kernel: Kernel, target: CompileTarget) -> str:
    """SHA-256 of what one kernel is compiled to."""
    found = hashlib.sha256()
    with TemporaryDirectory(prefix="splitkit-") as scratch:
        for file in sorted(exporter.build_kernels([kernel], target, Path(scratch) / "kernel").path.iterdir()):
            if file.suffix in CODE:
                found.update(file.read_bytes())
    return found.hexdigest()


def main() -> None:
    """Compile both sides' kernels."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--system", default="demo")
    parser.add_argument("--networks", type=int, default=20, help="drawn from each preset")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    system = load_system(args.system)
    rows = [compare(system, side, args.networks) for side in ("sensor", "aggregator")]
    status("")
    emit("same_kernels", {"kernels": sum(row["kernels"] for row in rows)}, rows, as_json=args.json)


if __name__ == "__main__":
    main()
