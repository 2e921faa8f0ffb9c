"""Tuned kernels: the tiles that a schedule could have chosen instead, and programs that use those found faster.

A tile is part of a kernel's specification, so of its key: rows of the latency table never mix tuned and untuned code.
What a target's `tuning` holds for this exporter is `[strips, pixels]` by the key of the untuned kernel.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from splitkit.compiler.codegen.tiling import Tile
from splitkit.compiler.kernel import Kernel
from splitkit.compiler.kernels import from_payload, key
from splitkit.compiler.kernels.protocol import KernelSpec
from splitkit.compiler.machine import Machine
from splitkit.compiler.program import Program
from splitkit.errors import ModelError


def variants(kernel: Kernel, machine: Machine) -> tuple[list[int], ...]:
    """Parameters that give another kernel than the rules', the most promising first.

    Tiles of other sizes may cut a row alike; of those that become the same code one is listed.
    """
    spec = from_payload(kernel.payload)
    known = {spec.tiled_as(machine)}
    found = []
    for tile in spec.tiles(machine):
        code = _with_tile(spec, tile).tiled_as(machine)
        if code not in known:
            known.add(code)
            found.append([tile.strips, tile.pixels])
    return tuple(found)


def retiled(program: Program, tuning: Mapping[str, Any]) -> Program:
    """The program with the kernels that `tuning` names cut as it says.

    Raises:
        ModelError: an entry is not a pair of positive numbers.
    """
    if not tuning:
        return program
    calls = tuple(replace(call, spec=_retiled(call.spec, tuning)) for call in program.calls)
    return replace(program, calls=calls)


def _with_tile(spec: KernelSpec, tile: Tile) -> KernelSpec:
    changed: Any = replace(spec, tile=tile)  # type: ignore[call-arg]  # families with `tiles` have it
    return cast(KernelSpec, changed)


def _retiled(spec: KernelSpec, tuning: Mapping[str, Any]) -> KernelSpec:
    found = tuning.get(key(spec))
    if found is None:
        return spec
    match found:
        case [int(strips), int(pixels)] if strips > 0 and pixels > 0:
            return _with_tile(spec, Tile(strips, pixels))
    raise ModelError(f"target: tuning.{key(spec)}: {found!r}", "[strips, pixels] is expected: tune again")
