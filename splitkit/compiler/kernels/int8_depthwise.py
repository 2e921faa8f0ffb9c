"""Depthwise convolutions of bytes: a few pixels of a vector of channels in registers, widened to 32 bits.

Bytes are widened as they are loaded, so that the input's sign does not matter.
"""

from functools import lru_cache
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.codegen.border_cases import BorderCases
from splitkit.compiler.codegen.borders import column_runs, kernel_rows, reached
from splitkit.compiler.codegen.code import Code, Operand
from splitkit.compiler.codegen.integers import Rule, Sum, cast, high_product, padded_load, store_bytes
from splitkit.compiler.codegen.parallel import shared, threads_for
from splitkit.compiler.codegen.tiling import balanced
from splitkit.compiler.kernels.int8_convolution import Int8ConvSpec
from splitkit.compiler.kernels.protocol import KernelFunction
from splitkit.compiler.machine import Machine

MOST_PIXELS = 8


@lru_cache(maxsize=1024)
def _padded(spec: Int8ConvSpec, machine: Machine) -> int:
    return ceil(spec.out_channels / machine.lanes) * machine.lanes


def pack(spec: Int8ConvSpec, role: str, value: NDArray[Any], machine: Machine) -> NDArray[Any]:
    """Weights to (strip, kernel row, column, channel of the strip); sums and multipliers padded to whole strips."""
    padded, lanes = _padded(spec, machine), machine.lanes
    room = padded - spec.out_channels
    if role == "sums":
        return np.pad(value[0], ((0, 0), (0, room))).astype(np.int32)
    if role == "multipliers":
        return np.pad(np.broadcast_to(value, (spec.out_channels,)), (0, room)).astype(np.int32)
    weights = np.pad(value[:, 0], ((0, room), (0, 0), (0, 0)))
    return np.ascontiguousarray(weights.reshape(-1, lanes, *spec.kernel).transpose(0, 2, 3, 1))


def emit(spec: Int8ConvSpec, machine: Machine) -> KernelFunction:
    """The kernel."""
    code, lanes, cases = Code(), machine.lanes, BorderCases(spec)
    padded = _padded(spec, machine)
    pixels, out_pixels = spec.batch * prod(spec.size), spec.batch * prod(spec.out_size)
    x = Operand(code, "x", pixels * spec.in_pitch, dtype=spec.in_dtype)
    weight = Operand(code, "weight", padded * prod(spec.kernel), dtype="int8")
    sums = Operand(code, "sums", cases.count * padded, dtype="int32")
    multipliers = Operand(code, "multipliers", padded, dtype="int32")
    rule = Rule(code)
    out = Operand(code, "out", out_pixels * spec.out_pitch, dtype=spec.dtype)
    rule.read()
    (kh, kw), (height, width) = spec.kernel, spec.size
    most = max(1, min(MOST_PIXELS, machine.registers - kw - 3))
    tiles = balanced(spec.out_size[1], most)
    threads = threads_for(machine, spec.macs, x.elements + out.elements)
    whole, rest = divmod(spec.out_channels, lanes)
    with shared(code, spec.out_size[0], threads) as share:

        def strips(count: int, start: int, there: int) -> None:
            with (
                code.loop("b", count, start) as b,
                code.loop("n", spec.batch) as n,
                share.pieces("y", 0, spec.out_size[0]) as y,
            ):
                channel = b * lanes
                m = code.let("m", multipliers.load(channel, lanes))
                low, high = kernel_rows(code, spec, y)
                for run in column_runs(spec, tiles):
                    with code.loop("t", run.count) as t:
                        column = run.start + t * run.size
                        totals = [Sum(code, f"sum{j}", lanes) for j in range(run.size)]
                        for j, total in enumerate(totals):
                            total.set(sums.load(cases.of(low, high, column + j) * padded + channel, lanes))
                        with code.loop("r", high - low, low) as r:
                            row = y * spec.stride[0] + r * spec.dilation[0] - spec.padding[0]
                            first = column * spec.stride[1] - spec.padding[1]
                            at = code.let("at", ((n * height + row) * width + first) * spec.in_pitch + channel)
                            w_at = code.let("w_at", (b * kh + r) * (kw * lanes))
                            weights = [
                                code.let(f"w{s}", cast(weight.load(w_at + s * lanes, lanes), "int32", lanes))
                                for s in range(kw)
                            ]
                            for offset, users in reached(spec, run.size, column):
                                loaded = padded_load(x, at + offset * spec.in_pitch, there, lanes)
                                value = code.let("x", cast(loaded, "int32", lanes))
                                for j, s in users:
                                    totals[j].add(value * weights[s])
                        for j, total in enumerate(totals):
                            pixel = (n * spec.out_size[0] + y) * spec.out_size[1] + column + j
                            found = code.let("high", high_product(total.get(), m, lanes))
                            bounded = rule.bounded(found, lanes)
                            store_bytes(
                                code, out, spec.dtype, pixel * spec.out_pitch + channel, bounded, lanes, there
                            )

        if whole:
            strips(whole, 0, lanes)
        if rest:
            strips(1, whole, rest)
    return KernelFunction(code.function([x, weight, sums, multipliers, rule.operand, out]))
