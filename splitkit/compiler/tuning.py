"""Tuned kernels: the tiles that a schedule could have chosen instead, and programs that use those found faster.

A tile is part of a kernel's specification, so of its key: rows of the latency table never mix tuned and untuned code.
What a target's `tuning` holds for this exporter is `[strips, pixels]` by the key of the untuned kernel.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from splitkit.compiler.kernel import Kernel
from splitkit.compiler.kernels import candidates
from splitkit.compiler.machine import Machine
from splitkit.compiler.program import Program
from splitkit.compiler.spec import AnySpec, ConvSpec, LinearSpec, Tile, from_payload, key
from splitkit.errors import ModelError


def variants(kernel: Kernel, machine: Machine) -> tuple[list[int], ...]:
    """Parameters that give another kernel than the rules', the most promising first.

    Tiles of other sizes may cut a row alike; of those that become the same code one is listed.
    """
    spec = from_payload(kernel.payload)
    if not isinstance(spec, ConvSpec | LinearSpec):
        return ()
    known = {_code(spec, machine)}
    found = []
    for tile in candidates(spec, machine):
        code = _code(replace(spec, tile=tile), machine)
        if code not in known:
            known.add(code)
            found.append([tile.strips, tile.pixels])
    return tuple(found)


def _code(spec: ConvSpec | LinearSpec, machine: Machine) -> Any:
    """What two specifications that differ in their tiles share if they become the same code."""
    from splitkit.compiler.codegen.tiling import balanced
    from splitkit.compiler.kernels import conv, depthwise, linear

    if isinstance(spec, LinearSpec):
        return linear.plan(spec, machine)
    if depthwise.applies(spec):
        tile = spec.tile or candidates(spec, machine)[0]
        return balanced(spec.out_size[1], tile.pixels)
    return conv.plan(spec, machine)


def retiled(program: Program, tuning: Mapping[str, Any]) -> Program:
    """The program with the kernels that `tuning` names cut as it says.

    Raises:
        ModelError: an entry is not a pair of positive numbers.
    """
    if not tuning:
        return program
    calls = tuple(replace(call, spec=_retiled(call.spec, tuning)) for call in program.calls)
    return replace(program, calls=calls)


def _retiled(spec: AnySpec, tuning: Mapping[str, Any]) -> AnySpec:
    if not isinstance(spec, ConvSpec | LinearSpec):
        return spec
    found = tuning.get(key(spec))
    if found is None:
        return spec
    match found:
        case [int(strips), int(pixels)] if strips > 0 and pixels > 0:
            return replace(spec, tile=Tile(strips, pixels))
    raise ModelError(f"target: tuning.{key(spec)}: {found!r}", "[strips, pixels] is expected: tune again")
