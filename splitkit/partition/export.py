"""A chosen cut as a bundle."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from splitkit.bundle import Bundle, Partitioned
from splitkit.bundle.partition import export_subject
from splitkit.graphs.narrow import LinkDtype
from splitkit.graphs.session import Arrays
from splitkit.graphs.subject import Subject
from splitkit.partition.link import lighter
from splitkit.partition.options import Option
from splitkit.profiles.schema import System


def export_option(
    subject: Subject,
    path: Path,
    option: Option,
    system: System,
    directory: Path,
    *,
    inputs: NDArray[Any],
    link_dtype: LinkDtype | None = None,
    bottleneck: float | None = None,
    calibration: Sequence[Arrays] = (),
    say: Callable[[str], None] = lambda text: None,
) -> Bundle:
    """Export one cut of a partition, what makes its link lighter built in; see `export_partition`.

    Args:
        subject: what was partitioned, read from `path`.
        inputs: for the proof, (frames, views, *shape of a view without the 1 that it begins with).
        link_dtype: as it was partitioned with.
        bottleneck: share of the channels to send; of one view only.
        calibration: for uint8 and a bottleneck, the model's inputs by name that they are made from.

    Raises:
        BundleError, ConfigError, DeviceError, VerificationError: as `export_partition`.
        ModelError: as that, or as `lighter`.
    """
    captured = subject.edges.captured_names
    at = [name for name in option.crossing if name not in captured] or list(option.crossing)
    if option.placement == "split" and (link_dtype or bottleneck):
        say("calibrating the link")
        subject, at = lighter(subject, at, link_dtype, bottleneck, calibration)
    predicted = {"total_us": option.total_us, "sensor_us": option.sensor_us, "aggregator_us": option.aggregator_us}
    return export_subject(
        subject, Partitioned.of(path, *at), system, inputs, directory, predicted=predicted, progress=say
    )
