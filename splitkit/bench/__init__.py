"""Measuring: kernels in place, whole networks, and the building of a latency table from both."""

from splitkit.bench.clock import TableClock
from splitkit.bench.measure import measure_architecture
from splitkit.bench.networks import build_from_space
from splitkit.bench.progress import BuildProgress, BuildReport

__all__ = ["BuildProgress", "BuildReport", "TableClock", "build_from_space", "measure_architecture"]
