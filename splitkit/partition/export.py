"""A chosen cut as a bundle."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from splitkit.bundle import Bundle, Partitioned
from splitkit.bundle.partition import export_partition, image_and_scores
from splitkit.graphs.narrow import LinkDtype
from splitkit.partition.link import lighten
from splitkit.partition.options import Option
from splitkit.profiles.schema import System


def export_option(
    model: onnx.ModelProto,
    path: Path,
    option: Option,
    system: System,
    directory: Path,
    *,
    inputs: NDArray[Any],
    link_dtype: LinkDtype | None = None,
    bottleneck: float | None = None,
    calibration: Sequence[NDArray[Any]] = (),
    say: Callable[[str], None] = lambda text: None,
) -> Bundle:
    """Export one cut of a partition, what makes its link lighter built in; see `export_partition`.

    Args:
        model: what was partitioned, read from `path`.
        inputs: for the proof, (frames, *input shape).
        link_dtype: as it was partitioned with.
        bottleneck: share of the channels to send.
        calibration: for uint8 and a bottleneck, inputs (*input shape) that they are made from.

    Raises:
        BundleError, ConfigError, DeviceError, VerificationError: as `export_partition`.
        ModelError: as that, or as `lighten`.
    """
    source, _ = image_and_scores(model)
    at = [name for name in option.crossing if name != source.name] or [source.name]
    if option.placement == "split" and at != [source.name]:
        say("calibrating the link")
        frames = [{source.name: frame} for frame in calibration]
        found = lighten(model, at, frames, ratio=bottleneck, dtype=link_dtype)
        model, at = found.model, list(found.at(at))
    predicted = {"total_us": option.total_us, "sensor_us": option.sensor_us, "aggregator_us": option.aggregator_us}
    origin = Partitioned.of(path, *at)
    return export_partition(model, origin, system, inputs, directory, predicted=predicted, progress=say)
