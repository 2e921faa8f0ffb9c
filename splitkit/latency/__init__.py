"""Latency: the lookup table, predictions from it, and what measured candidates correct.

Nothing here imports torch or tvm.
"""

from splitkit.latency.corrections import Corrections
from splitkit.latency.measurement import Measurement, SideMeasurement
from splitkit.latency.predictor import Prediction, SystemPredictor
from splitkit.latency.store import LutStore

__all__ = ["Corrections", "LutStore", "Measurement", "Prediction", "SideMeasurement", "SystemPredictor"]
