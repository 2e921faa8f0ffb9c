"""Exporting a point of a search."""

from pathlib import Path
from typing import TYPE_CHECKING

from splitkit.errors import ConfigError
from splitkit.project.config import Project
from splitkit.project.run import Run
from splitkit.project.steps.data import Say, silent

if TYPE_CHECKING:
    from splitkit.bundle import Bundle
    from splitkit.data import Dataset
    from splitkit.search import Point, SearchResult
    from splitkit.supernet import SubNetwork


def export_step(
    project: Project,
    point: "Point",
    network: "SubNetwork",
    data: "Dataset",
    directory: Path,
    *,
    sign_key: Path | None = None,
    say: Say = silent,
) -> "Bundle":
    """Export, compile and verify one point of a front; its test accuracy is measured here, once, and kept.

    Raises:
        BundleError: `directory` holds something that splitkit did not write there.
        VerificationError: a half does not compute what the unsplit network does.
    """
    from splitkit.bundle.export import export_bundle
    from splitkit.training.evaluation import score_subnetwork
    from splitkit.tuning.tuned import tuned_system

    predicted = {
        "search_accuracy": point.accuracy,
        "test_accuracy": score_subnetwork(network, data.test).score.accuracy,
        "sensor_us": point.sensor_us,
        "link_us": point.link_us,
        "aggregator_us": point.aggregator_us,
        "total_us": point.total_us,
    }
    if project.runtimes:  # predictions are of the kernels of the compiler that was searched with
        for stage in ("total", *project.runtimes):
            del predicted[f"{stage}_us"]
    images = data.search.images[:256].numpy()
    system = tuned_system(project.load_system(), Run.of(project).export_tuning)
    return export_bundle(
        network, system, images, directory,
        classes=data.classes, pixels=data.pixels, predicted=predicted, sign_key=sign_key, progress=say,
    )  # fmt: skip


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
