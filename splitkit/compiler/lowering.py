"""Specifications as functions ready for code generation."""

from collections.abc import Sequence

from splitkit.compiler.kernels.protocol import KernelFunction, KernelSpec
from splitkit.compiler.machine import Machine


def lower_kernels(specs: Sequence[KernelSpec], machine: Machine) -> list[KernelFunction]:
    """The function of every specification, in order."""
    found: dict[int, KernelFunction] = {}
    for family in dict.fromkeys(type(spec) for spec in specs):
        which = [i for i, spec in enumerate(specs) if type(spec) is family]
        found |= zip(which, family.emit_all([specs[i] for i in which], machine), strict=True)
    return [found[i] for i in range(len(specs))]
