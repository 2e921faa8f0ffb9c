"""What people do without a split: send the picture as JPEG."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from splitkit.latency.hop import Hop
from splitkit.partition.codec import Codec, Picture, time_codec
from splitkit.profiles.schema import System

QUALITY = 90


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


def send_jpeg(pictures: Sequence[Picture], system: System, hop: Hop, aggregator_us: float) -> Jpeg:
    """Encode pictures and say what sending them takes.

    Args:
        hop: what lies between the sides.
        aggregator_us: of the model when all of it is the aggregator's.
    """
    codec = Codec("JPEG", QUALITY)
    payload = int(np.median([len(codec.encode(picture)) for picture in pictures]))
    times = time_codec(codec, pictures, system.sensor, system.aggregator)
    label = f"quality {QUALITY}, median of {len(pictures)} pictures"
    label += f", {times.timed} timed in Pillow here" if times.timed else ""
    label += f", without {times.missing}" if times.missing else ""
    aggregator_us += times.decode_us or 0.0
    return Jpeg(payload, times.encode_us, float(hop.link_us(float(payload))), aggregator_us, label)
