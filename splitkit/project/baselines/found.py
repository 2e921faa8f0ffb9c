"""What the run's own search found: its split, and the systems that do not split."""

from splitkit.latency.predictor import Prediction
from splitkit.project.baselines.setting import LeftOutError, Setting
from splitkit.search.baselines import Name, Recipe, Row

PLACEMENTS: dict[Name, str] = {
    "split": "split",
    "all_on_sensor": "sensor",
    "all_on_aggregator": "aggregator",
}


def found_row(setting: Setting, name: Name) -> Row:
    """The run's chosen network of one system, with the search's own figures.

    Raises:
        LeftOutError: nothing of that system was within the limits.
    """
    placement, result = PLACEMENTS[name], setting.result
    if placement not in result.best:
        raise LeftOutError("the search found nothing of it within the limits")
    index = result.chosen[placement]
    recipe = Recipe(result.points[index].architecture)
    measured = result.points[index].measured_total_us
    timed = "" if measured is None else f"; both halves timed by the search: {measured:.0f} us"
    obtained = f"point {index} of the run's search{timed}"
    return setting.row(name, recipe, found_figures(setting, placement), obtained, result.evaluated.get(placement, 1))


def found_figures(setting: Setting, placement: str) -> Prediction:
    """The figures of a system's chosen point, arrays of shape (1,), as `pareto.json` has them."""
    import numpy as np

    point = setting.result.best[placement]
    one = {
        name: np.array([float(getattr(point, name))])
        for name in Prediction.__dataclass_fields__
        if hasattr(point, name)
    }
    return Prediction(**one, sensor_peak_bytes=np.array([float(point.peak_sensor_bytes)]))
