"""Exporters compile a graph for an edge runtime; each runtime is one folder here.

Third parties add one through the entry point group `splitkit.exporters`; the built-in ones register the same way.
"""

from splitkit.exporters.protocol import (
    Artifact,
    CompileTarget,
    Exporter,
    Kernel,
    KernelExporter,
    MemoryPlan,
    Session,
    TensorSpec,
)
from splitkit.exporters.registry import exporter_names, get_exporter

__all__ = [
    "Artifact",
    "CompileTarget",
    "Exporter",
    "Kernel",
    "KernelExporter",
    "MemoryPlan",
    "Session",
    "TensorSpec",
    "exporter_names",
    "get_exporter",
]
