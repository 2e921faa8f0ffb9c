"""Measuring: kernels in place, whole networks, and the building of a latency table from both."""

from splitkit.bench.builder import BuildProgress, BuildReport, build_lut
from splitkit.bench.clock import TableClock
from splitkit.bench.measure import measure_architecture
from splitkit.bench.networks import build_from_space

__all__ = ["BuildProgress", "BuildReport", "TableClock", "build_from_space", "build_lut", "measure_architecture"]
