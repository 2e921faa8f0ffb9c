"""What follows from the latencies of a system: throughput, how busy each part is, energy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitkit.latency.predictor import Prediction
from splitkit.profiles.schema import DeviceProfile, System

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class SystemFigures:
    """Figures of n points, every array of shape (n,).

    Attributes:
        throughput_fps: frames per second when the parts work on successive frames: 1 / the slowest part.
        sensor_busy, link_busy, aggregator_busy: share of the time each part works at that throughput.
        sensor_busy_single, link_busy_single, aggregator_busy_single: the same for one frame at a time.
        energy_uj: per frame, over all sensors, links and the aggregator; NaN where a profile does not give pJ/MAC,
            or pJ/byte of the link. Bytes moved to memory are not counted: they are not known before compiling.
    """

    throughput_fps: FloatArray
    sensor_busy: FloatArray
    link_busy: FloatArray
    aggregator_busy: FloatArray
    sensor_busy_single: FloatArray
    link_busy_single: FloatArray
    aggregator_busy_single: FloatArray
    energy_uj: FloatArray


def system_figures(system: System, views: int, prediction: Prediction) -> SystemFigures:
    """Figures of every point of a prediction (or of measurements put into that form)."""
    parts = (prediction.sensor_us, prediction.link_us, prediction.aggregator_us)
    slowest = np.maximum.reduce(parts)
    pipelined = [part / slowest for part in parts]
    single = [part / prediction.total_us for part in parts]
    return SystemFigures(1e6 / slowest, *pipelined, *single, _energy_uj(system, views, prediction))


def _energy_uj(system: System, views: int, prediction: Prediction) -> FloatArray:
    sensor = views * _compute_pj(system.sensor, prediction.sensor_macs)
    aggregator = _compute_pj(system.aggregator, prediction.aggregator_macs)
    per_byte = np.nan if system.link.pj_per_byte is None else system.link.pj_per_byte
    return np.asarray((sensor + aggregator + views * per_byte * prediction.payload_bytes) / 1e6)


def _compute_pj(device: DeviceProfile, macs: FloatArray) -> FloatArray:
    """Energy of the arithmetic; nothing where nothing is computed, whatever the profile says."""
    per_mac = np.nan if device.pj_per_mac is None else device.pj_per_mac
    return np.where(macs > 0, macs * per_mac, 0.0)
