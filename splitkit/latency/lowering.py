"""Units of a network as kernels: what the compiler makes of each, in the context it stands in.

Fusion belongs to exporter and target, so nobody repeats its rules here: a unit's graph is rendered alone, the tensors
at which it joins its neighbours are declared interior, and the compiled form is read. The kernels of a network are then
those of its units, chained, which a test holds against whole compiled networks. Results are kept in the store, so that
predicting a known unit needs no compiler.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict

from splitkit.compiler.kernel import Kernel
from splitkit.compiler.target import CompileTarget
from splitkit.errors import DeviceError
from splitkit.exporters.protocol import Exporter, KernelExporter
from splitkit.exporters.registry import get_exporter
from splitkit.graphs.graph import Graph, RenderedGraph
from splitkit.latency.store import LutStore
from splitkit.space.units import Fuse, Head, MeanScores, Reduce, Stem, Unit

Progress = Callable[[int, int], None]
"""Called with how many are done, of how many."""

UNITS_PER_COMMIT = 16


def unit_key(unit: Unit) -> str:
    """Canonical JSON of a unit: equal for equal units."""
    return json.dumps({"unit": type(unit).__name__} | asdict(unit), sort_keys=True)  # type: ignore[call-overload]


def unit_graph(unit: Unit) -> RenderedGraph:
    """A unit as a graph of its own, interior where it is only a piece of a larger one.

    The stem reads the image, `fuse` what came over the link, the mean what sensors sent; the head writes scores,
    `reduce` what goes over the link. Everything else joins another unit.
    """
    operators, names = unit.operators(unit.input_tensors(), "unit"), set()
    if not isinstance(unit, Stem | MeanScores) and not (isinstance(unit, Fuse) and unit.linked):
        names.add(unit.input_tensors()[0].name)
    if not isinstance(unit, Head | MeanScores) and not (isinstance(unit, Reduce) and unit.linked):
        names.add(operators[-1].output.name)
    return RenderedGraph(tuple(operators), frozenset(names))


class Lowering:
    """Kernels of units for one exporter and target, from the store where they are known, else from the compiler."""

    def __init__(self, store: LutStore, exporter: str, target: CompileTarget) -> None:
        self.store, self.target = store, target
        self.exporter: Exporter = get_exporter(exporter)
        self._target_key = target.full_key()  # what a unit becomes, tuning included
        self._units: dict[Unit, tuple[Kernel, ...]] = {}
        self._kernels: dict[str, Kernel] = {}

    def kernels(self, units: Iterable[Unit], progress: Progress | None = None) -> dict[Unit, tuple[Kernel, ...]]:
        """Kernels in call order of every unit; committed as they are found, so a long run can be cut short.

        Raises:
            DeviceError: the exporter cannot name its kernels.
        """
        wanted = list(dict.fromkeys(units))
        missing = self._recall([unit for unit in wanted if unit not in self._units])
        for i in range(0, len(missing), UNITS_PER_COMMIT):
            some = missing[i : i + UNITS_PER_COMMIT]
            if progress:
                progress(i, len(missing))
            self.learn({unit: self._lower(unit) for unit in some})
        if progress and missing:
            progress(len(missing), len(missing))
        return {unit: self._units[unit] for unit in wanted}

    def learn(self, found: Mapping[Unit, tuple[Kernel, ...]]) -> None:
        """Keep what units were lowered to, here or elsewhere."""
        self.store.add_lowered(
            self.exporter.name, self.exporter.version, self._target_key,
            {unit_key(unit): kernels for unit, kernels in found.items()},
        )  # fmt: skip
        self._units |= found

    def recall(self, units: Iterable[Unit]) -> dict[Unit, tuple[Kernel, ...]]:
        """Kernels of those of `units` that are known already; compiles nothing."""
        wanted = list(dict.fromkeys(units))
        self._recall([unit for unit in wanted if unit not in self._units])
        return {unit: self._units[unit] for unit in wanted if unit in self._units}

    def _recall(self, units: Sequence[Unit]) -> list[Unit]:
        """Fetch what the store knows; returns the rest."""
        keys = {unit_key(unit): unit for unit in units}
        rows = self.store.lowered(self.exporter.name, self.exporter.version, self._target_key, keys)
        unknown = {key for row in rows.values() for key in row} - set(self._kernels)
        self._kernels |= self.store.kernels(self.exporter.name, unknown)
        for key, row in rows.items():
            self._units[keys[key]] = tuple(self._kernels[kernel] for kernel in row)
        return [unit for key, unit in keys.items() if key not in rows]

    def graph(self, graph: Graph) -> tuple[Kernel, ...]:
        """Kernels of any graph in call order, from the compiler; nothing is kept.

        Raises:
            ModelError: it cannot be compiled.
            DeviceError: the exporter cannot name its kernels.
        """
        return lower_graph(self.exporter, self.target, graph)

    def _lower(self, unit: Unit) -> tuple[Kernel, ...]:
        kernels = lower_unit(self.exporter, self.target, unit)
        return tuple(self._kernels.setdefault(kernel.key, kernel) for kernel in kernels)


def lower_unit(exporter: Exporter, target: CompileTarget, unit: Unit) -> tuple[Kernel, ...]:
    """Kernels of a unit in call order; see `lower_graph`."""
    return lower_graph(exporter, target, unit_graph(unit))


def lower_graph(exporter: Exporter, target: CompileTarget, graph: Graph) -> tuple[Kernel, ...]:
    """Kernels of a graph in call order, from the compiler.

    Raises:
        ModelError: it cannot be compiled.
        DeviceError: the exporter cannot name its kernels.
    """
    if not isinstance(exporter, KernelExporter):
        raise DeviceError(
            f"exporter {exporter.name}: cannot say which kernels a graph becomes",
            "latency tables need one that can, such as tvm",
        )
    return exporter.lower(graph.model(), target, graph.interior)
