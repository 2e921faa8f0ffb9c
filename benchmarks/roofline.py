"""Kernels against the roofline of one core: its measured multiply-add peak and read bandwidth.

The roof of a kernel is the lower of the peak and what the bandwidth allows at which as many bytes as it moves can be
read, again and again, wherever in the caches they come to lie (Williams, Waterman, Patterson, "Roofline", CACM 2009).
Timings are hot, the fastest of interleaved rounds: on a shared machine anything else measures the neighbours. Products
with the zeros of a padded border count as work although they are left out, so a share may pass 1; so may that of a
kernel that writes half of what it moves, since nothing is written when bandwidth is measured.

    python benchmarks/roofline.py [--rounds 15] [--json]
"""

import argparse
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from report import emit
from splitkit.compiler.codegen.code import Code, Operand, fma, splat
from splitkit.compiler.library import Library, aligned, compiled, operands, timed
from splitkit.compiler.machine import Machine, block_for
from splitkit.compiler.spec import Activation, ConvSpec, Epilogue, LayoutSpec, LinearSpec, PoolSpec, Spec
from splitkit.exporters import CompileTarget

BURST_US = 1500.0
PRODUCTS = 1 << 14
"""Multiply-adds per accumulator in one call of the peak's kernel."""
UNROLL = 8


def levels(machine: Machine) -> dict[str, int]:
    """Bytes read to measure the bandwidth of each level of memory."""
    l2 = machine.l2_bytes * 3 // 4 // 4096 * 4096
    return {"l2": l2, "l3": max(6 << 20, 2 * machine.l2_bytes), "memory": 192 << 20}


def peak_kernel(machine: Machine) -> Any:
    """Independent multiply-adds on registers: acc = acc * x + y, as many as fit, which hides their latency."""
    code, lanes = Code(), machine.lanes
    values = Operand(code, "values", 3 * lanes)
    x, y = (code.let(name, values.load(i * lanes, lanes)) for i, name in enumerate("xy"))
    registers = [code.register(f"acc{i}", lanes) for i in range(independent(machine))]
    for i, register in enumerate(registers):
        register.set(splat(float(i), lanes))
    with code.loop("i", PRODUCTS):
        for register in registers:
            register.set(fma(register.get(), x, y, lanes))
    total = registers[0].get()
    for register in registers[1:]:
        total = total + register.get()
    values.store(2 * lanes, total, lanes)
    return code.function([values])


def independent(machine: Machine) -> int:
    """Accumulators of the peak's kernel."""
    return min(24, machine.registers - 4)


def read_kernel(machine: Machine, size_bytes: int) -> Any:
    """The sum of an array of `size_bytes`."""
    code, lanes = Code(), machine.lanes
    x = Operand(code, "x", size_bytes // 4)
    out = Operand(code, "out", lanes)
    registers = [code.register(f"sum{i}", lanes) for i in range(UNROLL)]
    for register in registers:
        register.set(splat(0.0, lanes))
    with code.loop("i", x.elements // (UNROLL * lanes)) as i:
        for j, register in enumerate(registers):
            register.set(register.get() + x.load((i * UNROLL + j) * lanes, lanes))
    total = registers[0].get()
    for register in registers[1:]:
        total = total + register.get()
    out.store(0, total, lanes)
    return code.function([x, out])


def readable(size_bytes: int, machine: Machine) -> int:
    """`size_bytes` rounded up to what `read_kernel` reads per turn of its loop."""
    step = UNROLL * machine.lanes * 4
    return -(-size_bytes // step) * step


def shapes(machine: Machine) -> list[Spec]:
    """Kernels of mobile networks, three sizes and more of each family."""

    def conv(c: int, o: int, size: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> ConvSpec:
        square, pads = (size, size), (kernel // 2,) * 4
        blocks = block_for(c, machine), block_for(o, machine)
        epilogue = Epilogue(bias=True, activation=Activation("hard_swish"))
        return ConvSpec(1, c, o, square, (kernel,) * 2, (stride,) * 2, pads, (1, 1), groups, *blocks, epilogue=epilogue)

    pointwise = [(16, 64, 112), (24, 72, 56), (72, 40, 28), (40, 240, 28), (112, 672, 14), (160, 960, 7), (960, 160, 7)]
    depthwise = [(16, 112, 3, 1), (64, 112, 3, 2), (72, 56, 5, 2), (120, 28, 5, 1), (240, 28, 3, 2), (672, 14, 5, 1)]
    dense = [(3, 16, 224, 3, 2), (3, 64, 224, 7, 2), (64, 64, 56, 3, 1), (256, 256, 14, 3, 1)]
    return [
        *(conv(*shape) for shape in pointwise),
        *(conv(c, c, size, kernel, stride, c) for c, size, kernel, stride in depthwise),
        *(conv(*shape) for shape in dense),
        conv(96, 96, 28, 3, 1, 2),
        conv(240, 120, 28, 1, 1, 3),
        *(LinearSpec(1, i, o, Epilogue(bias=True)) for i, o in ((576, 1024), (960, 1280), (1280, 1000))),
        PoolSpec("global_avg", 1, 960, (7, 7), (7, 7), block=block_for(960, machine)),
        PoolSpec("max", 1, 64, (112, 112), (3, 3), (2, 2), (1, 1, 1, 1), block_for(64, machine)),
        LayoutSpec(1, 64, (56, 56), 1, block_for(64, machine)),
        LayoutSpec(1, 64, (56, 56), block_for(64, machine), 1),
    ]


def inputs(spec: Spec, machine: Machine) -> list[NDArray[np.float32]]:
    """Random operands of order one."""
    rng = np.random.default_rng(0)
    tensors: dict[str, NDArray[Any]] = {}
    match spec:
        case ConvSpec():
            shape = (spec.out_channels, spec.in_channels // spec.groups, *spec.kernel)
            tensors["x"] = rng.standard_normal((spec.batch, spec.in_channels, *spec.size))
            tensors["weight"] = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
            tensors["bias"] = rng.standard_normal(spec.out_channels)
        case LinearSpec():
            tensors["x"] = rng.standard_normal((spec.batch, spec.in_features))
            tensors["weight"] = rng.standard_normal((spec.out_features, spec.in_features)) / spec.in_features**0.5
            tensors["bias"] = rng.standard_normal(spec.out_features)
        case PoolSpec() | LayoutSpec():
            tensors["x"] = rng.standard_normal((spec.batch, spec.channels, *spec.size))
    return operands(spec, machine, tensors)


def fastest_us(calls: dict[str, Callable[[int], float]], rounds: int) -> dict[str, float]:
    """Least time of each call over interleaved rounds; a call is given the number of repeats and says us per repeat."""
    repeats = {name: max(1, int(BURST_US / max(call(1), 1e-3))) for name, call in calls.items()}
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            call(1)  # brings back what the others drove out of the caches
            best[name] = min(best[name], call(repeats[name]))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    machine = Machine.from_target(CompileTarget({"kind": "host"}))
    specs = shapes(machine)
    library = Library.build(specs, machine)
    arrays = [library.arguments(i, inputs(spec, machine)) for i, spec in enumerate(specs)]
    traffic = [readable(sum(array.nbytes for array in a), machine) for a in arrays]
    sizes = list(dict.fromkeys([*levels(machine).values(), *traffic]))
    probes = compiled([peak_kernel(machine), *(read_kernel(machine, size) for size in sizes)], machine)
    constants = aligned(3 * machine.lanes)
    constants[:] = 0.5
    sums, data = aligned(machine.lanes), aligned(max(sizes) // 4)
    data[:] = 1.0
    calls: dict[str, Callable[[int], float]] = {"peak": partial(timed, probes, 0, [constants])}
    for i, size in enumerate(sizes):
        calls[f"read {size}"] = partial(timed, probes, i + 1, [data[: size // 4], sums])
    for i, spec in enumerate(specs):
        calls[spec.label()] = partial(library.call, i, arrays[i])

    best = fastest_us(calls, args.rounds)
    peak = 2 * PRODUCTS * independent(machine) * machine.lanes / best["peak"] / 1e3
    bandwidth = {size: size / best[f"read {size}"] / 1e3 for size in sizes}
    rows = [row(spec, t, best[spec.label()], peak, bandwidth[t]) for spec, t in zip(specs, traffic, strict=True)]
    figures = {"fma_peak_gflops": peak} | {
        f"read_gb_per_s_{level}": bandwidth[size] for level, size in levels(machine).items()
    }
    for family in dict.fromkeys(spec.family for spec in specs):
        shares = [r["of_roof"] for r in rows if r["family"] == family]
        figures[f"{family}_of_roof"] = float(np.exp(np.log(shares).mean()))
        flops = [r["of_peak"] for r in rows if r["family"] == family if r["of_peak"]]
        figures |= {f"{family}_of_peak": float(np.exp(np.log(flops).mean()))} if flops else {}
    emit("roofline", figures, rows, as_json=args.json, notes="one core; of_roof: of the lower of peak and bandwidth")


def row(spec: Spec, traffic: int, us: float, peak: float, bandwidth: float) -> dict[str, Any]:
    """One kernel's line. `traffic` is the bytes it moves, `peak` in GFLOP/s, `bandwidth` in GB/s."""
    flops_us, bytes_us = 2 * spec.macs / peak / 1e3, traffic / bandwidth / 1e3
    return {
        "family": spec.family,
        "kernel": spec.label().split(" +")[0].split(" f32")[0],
        "us": us,
        "gflops": 2 * spec.macs / us / 1e3,
        "gb_per_s": traffic / us / 1e3,
        "read_gb_per_s": bandwidth,
        "of_peak": flops_us / us,
        "of_roof": max(flops_us, bytes_us) / us,
    }


if __name__ == "__main__":
    main()
