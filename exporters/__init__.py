"""Exporters compile a graph for an edge runtime; each runtime is one folder here.

Third parties add one through the entry point group `splitkit.exporters`; the built-in ones register the same way.
"""

from splitkit.compiler.kernel import Kernel
from splitkit.compiler.memory import MemoryPlan
from splitkit.compiler.target import CompileTarget
from splitkit.exporters.protocol import Artifact, Exporter, KernelExporter, Session
from splitkit.exporters.registry import exporter_names, get_exporter
from splitkit.space.tensor import TensorSpec

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
