"""splitkit: networks searched, split, compiled and deployed across camera sensors and an aggregator.

    import splitkit as sk

The names below are all that most programs need. Each is loaded when it is first used, so that importing splitkit costs
nothing. `examples/` shows every one of them at work.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "splitkit.space": ("Architecture", "Sampler", "SearchSpace", "describe", "load_space"),
    "splitkit.profiles": ("DeviceProfile", "System", "load_device", "load_system"),
    "splitkit.data": ("Dataset", "load_dataset"),
    "splitkit.training": (
        "SupernetEvaluator",
        "TrainConfig",
        "calibration_images",
        "default_train_config",
        "fine_tune",
        "load_supernet",
        "train",
    ),
    "splitkit.supernet": ("extract",),
    "splitkit.graphs.graph": ("OnnxGraph",),
    "splitkit.graphs.cut": ("cut",),
    "splitkit.graphs.calibrate": ("quantise",),
    "splitkit.latency": ("GraphPredictor", "SystemPredictor"),
    "splitkit.search": ("Constraints", "SearchConfig", "SearchResult", "search"),
    "splitkit.bundle": ("Bundle", "Partitioned", "load_bundle"),
    "splitkit.bundle.partition": ("export_partition",),
    "splitkit.partition": ("partition",),
    "splitkit.project": ("Project", "load_project"),
}
_RENAMED = {
    "LatencyTable": ("splitkit.latency.store", "LutStore"),
    "build_table": ("splitkit.bench.networks", "build_from_space"),
    "export": ("splitkit.bundle.export", "export_bundle"),
    "bench": ("splitkit.runtime.measure", "measure_bundle"),
}
_WHERE = {name: (module, name) for module, names in _HOME.items() for name in names} | _RENAMED

__all__ = [
    "Architecture",
    "Bundle",
    "Constraints",
    "Dataset",
    "DeviceProfile",
    "GraphPredictor",
    "LatencyTable",
    "OnnxGraph",
    "Partitioned",
    "Project",
    "Sampler",
    "SearchConfig",
    "SearchResult",
    "SearchSpace",
    "SupernetEvaluator",
    "System",
    "SystemPredictor",
    "TrainConfig",
    "bench",
    "build_table",
    "calibration_images",
    "cut",
    "default_train_config",
    "describe",
    "export",
    "export_partition",
    "extract",
    "fine_tune",
    "load_bundle",
    "load_dataset",
    "load_device",
    "load_project",
    "load_space",
    "load_supernet",
    "load_system",
    "partition",
    "quantise",
    "search",
    "train",
]

if TYPE_CHECKING:
    from splitkit.bench.networks import build_from_space as build_table
    from splitkit.bundle import Bundle, Partitioned, load_bundle
    from splitkit.bundle.export import export_bundle as export
    from splitkit.bundle.partition import export_partition
    from splitkit.data import Dataset, load_dataset
    from splitkit.graphs.calibrate import quantise
    from splitkit.graphs.cut import cut
    from splitkit.graphs.graph import OnnxGraph
    from splitkit.latency import GraphPredictor, SystemPredictor
    from splitkit.latency.store import LutStore as LatencyTable
    from splitkit.partition import partition
    from splitkit.profiles import DeviceProfile, System, load_device, load_system
    from splitkit.project import Project, load_project
    from splitkit.runtime.measure import measure_bundle as bench
    from splitkit.search import Constraints, SearchConfig, SearchResult, search
    from splitkit.space import Architecture, Sampler, SearchSpace, describe, load_space
    from splitkit.supernet import extract
    from splitkit.training import (
        SupernetEvaluator,
        TrainConfig,
        calibration_images,
        default_train_config,
        fine_tune,
        load_supernet,
        train,
    )


class _Callable(ModuleType):
    """A package with the name of a public function, called like it: `sk.search(...)`, `splitkit.search.evolve`."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return _public(self.__name__.rpartition(".")[2])(*arguments, **named)


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        if name in _WHERE and isinstance(value, ModuleType):  # what importing a package inside this one does
            value.__class__ = _Callable
        super().__setattr__(name, value)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = _public(name)
    return globals().setdefault(name, value)


def _public(name: str) -> Any:
    module, attribute = _WHERE[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


sys.modules[__name__].__class__ = _Package
