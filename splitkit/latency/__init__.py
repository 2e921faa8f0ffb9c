"""Latency: the lookup table, how it is filled, predictions from it, and what measured candidates correct.

Predicting imports neither torch nor tvm; measuring does when it starts.
"""

from splitkit.latency.builder import BuildProgress, BuildReport, build_lut
from splitkit.latency.clock import TableClock
from splitkit.latency.corrections import Corrections
from splitkit.latency.measure import measure_architecture
from splitkit.latency.measurement import Measurement, SideMeasurement
from splitkit.latency.networks import build_from_space
from splitkit.latency.predictor import Prediction, SystemPredictor
from splitkit.latency.store import LutStore

__all__ = [
    "BuildProgress",
    "BuildReport",
    "Corrections",
    "LutStore",
    "Measurement",
    "Prediction",
    "SideMeasurement",
    "SystemPredictor",
    "TableClock",
    "build_from_space",
    "build_lut",
    "measure_architecture",
]
