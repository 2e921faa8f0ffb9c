"""What people do without a split: send the picture as JPEG."""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splitkit.devices import get_device
from splitkit.latency.hop import Hop
from splitkit.profiles.schema import DeviceProfile, System

QUALITY = 90
REPEATS = 5
"""Runs over all pictures that are timed."""


@dataclass(frozen=True)
class Jpeg:
    """Sending pictures as JPEG and computing everything on the aggregator.

    Attributes:
        payload_bytes: median of the pictures.
        sensor_us: of encoding one, in Pillow; None where the sensor is not this machine: nobody has timed it there.
        aggregator_us: of the model, with decoding where the aggregator is this machine.
        label: what of this was measured.
    """

    payload_bytes: int
    sensor_us: float | None
    link_us: float
    aggregator_us: float
    label: str

    @property
    def total_us(self) -> float:
        """Of one frame; without encoding where that is not known."""
        return (self.sensor_us or 0.0) + self.link_us + self.aggregator_us


def send_jpeg(pictures: Sequence[NDArray[Any]], system: System, hop: Hop, aggregator_us: float) -> Jpeg:
    """Encode pictures, uint8 (channels, height, width), and say what sending them takes.

    Args:
        hop: what lies between the sides.
        aggregator_us: of the model when all of it is the aggregator's.
    """
    images = [Image.fromarray(p[0] if len(p) == 1 else np.moveaxis(p, 0, -1)) for p in pictures]
    encoded = [_encoded(image) for image in images]
    payload = int(np.median([len(data) for data in encoded]))
    encode_us = _here(system.sensor, lambda: [_encoded(image) for image in images], len(images))
    decode_us = _here(system.aggregator, lambda: [Image.open(io.BytesIO(data)).load() for data in encoded], len(images))
    stages = {"encoding": encode_us, "decoding": decode_us}
    timed, left = ([word for word, us in stages.items() if (us is not None) == known] for known in (True, False))
    label = f"quality {QUALITY}, median of {len(images)} pictures"
    label += f", {' and '.join(timed)} timed in Pillow here" if timed else ""
    label += f", without {' and '.join(left)}" if left else ""
    return Jpeg(payload, encode_us, float(hop.link_us(float(payload))), aggregator_us + (decode_us or 0.0), label)


def _encoded(image: Image.Image) -> bytes:
    with io.BytesIO() as file:
        image.save(file, "JPEG", quality=QUALITY)
        return file.getvalue()


def _here(profile: DeviceProfile, work: Any, count: int) -> float | None:
    """us a picture at the device's time scale, the median of some runs; None where the device is not this machine."""
    if not get_device(profile).here:
        return None
    work()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) / count)
    return float(np.median(times)) * 1e6 * profile.time_scale
