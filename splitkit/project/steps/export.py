"""Exporting a point of a search."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from splitkit.errors import ConfigError
from splitkit.project.config import Project
from splitkit.project.run import Run
from splitkit.project.steps.data import Say, silent

if TYPE_CHECKING:
    from splitkit.bundle import Bundle
    from splitkit.bundle.quantise import Halves
    from splitkit.data import Dataset
    from splitkit.scores import ImageScores
    from splitkit.search import Point, SearchResult
    from splitkit.sides import Side
    from splitkit.supernet import SubNetwork

ACCURACY_BATCH = 64
"""Test images that are held at a time."""


def export_step(
    project: Project,
    point: "Point",
    network: "SubNetwork",
    data: "Dataset",
    directory: Path,
    *,
    sign_key: Path | None = None,
    int8: "Collection[Side]" = (),
    say: Say = silent,
) -> "Bundle":
    """Export, compile and verify one point of a front; its test accuracy is measured here, once, and kept.

    `int8`: sides that compute in integers; the accuracy is that of the graphs they become then.

    Raises:
        BundleError: `directory` holds something that splitkit did not write there.
        VerificationError: a half does not compute what the unsplit network does.
    """
    from splitkit.bundle.export import export_bundle
    from splitkit.training.evaluation import score_subnetwork
    from splitkit.tuning.tuned import tuned_system

    floats = score_subnetwork(network, data.test)

    def measured(halves: "Halves") -> dict[str, float]:
        """Accuracy of halves in integers, and what of it they lost."""
        return _integer_accuracy(halves, data, floats, network.space.input.masked) if int8 else {}

    predicted = {
        "search_accuracy": point.accuracy,
        "test_accuracy": floats.score.accuracy,
        "sensor_us": point.sensor_us,
        "link_us": point.link_us,
        "aggregator_us": point.aggregator_us,
        "total_us": point.total_us,
    }
    if project.runtimes or int8:  # predictions are of the kernels of the compiler that was searched with
        for stage in {"total", *project.runtimes, *int8}:
            del predicted[f"{stage}_us"]
    images = data.search.images[:256].numpy()
    system = tuned_system(project.load_system(), Run.of(project).export_tuning)
    return export_bundle(
        network, system, images, directory,
        classes=data.classes, pixels=data.pixels, predicted=predicted, sign_key=sign_key, int8=int8, measured=measured,
        progress=say,
    )  # fmt: skip


def _integer_accuracy(halves: "Halves", data: "Dataset", floats: "ImageScores", masked: bool) -> dict[str, float]:
    """On the test images, in ONNX Runtime: accuracy, and the difference to that in float32 with its interval.

    `masked`: the aggregator takes a mask; all views are there.
    """
    import numpy as np

    from splitkit.bundle.quantise import run_halves
    from splitkit.data import batches_of
    from splitkit.scores import ImageScores, paired_difference

    parts = list(batches_of(data.test, ACCURACY_BATCH))
    scores = []
    for images in (part.images.numpy() for part in parts):
        present = np.ones((*images.shape[:2], 1, 1, 1), np.float32)
        scores.append(run_halves(halves, images, (images,), (present,) if masked else ())[1])
    labels = np.concatenate([part.labels.numpy() for part in parts])
    found = ImageScores.of(np.concatenate(scores).astype(np.float64), labels)
    lost = paired_difference(found, floats)
    return {
        "test_accuracy": found.score.accuracy,
        "float32_test_accuracy": floats.score.accuracy,
        "int8_difference": lost.difference,
        "int8_difference_low": lost.low,
        "int8_difference_high": lost.high,
    }


def pick_point(result: "SearchResult", index: int | None) -> "Point":
    """Point `index` of a search result, or by default the fastest of the points chosen for the systems.

    Raises:
        ConfigError: there is no such point, or the search found none.
    """
    if index is not None:
        if not 0 <= index < len(result.points):
            raise ConfigError(f"point {index}: the search has points 0 to {len(result.points) - 1}")
        return result.points[index]
    if not result.chosen:
        raise ConfigError("the search found nothing within the constraints", "loosen [constraints]")
    return min(result.best.values(), key=lambda point: point.total_us)
