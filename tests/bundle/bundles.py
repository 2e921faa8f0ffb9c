"""Bundles exported once per test run."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from splitkit.bundle import Bundle
from splitkit.bundle.export import export_bundle
from splitkit.profiles import System, load_system
from tests.networks import digit_images, space_of, subnetwork, with_link

PREDICTED = {"total_us": 1234.0}


def fast_system(shared: bool = False, exporter: str = "onnxruntime") -> System:
    """The demo system with another compiler, a link of 4 MB/s, and a sensor slowed down less."""
    system = load_system("demo")
    link = system.link.model_copy(update={"bandwidth_bytes_per_s": 4e6, "shared": shared})
    sensor = system.sensor.model_copy(update={"exporter": exporter, "time_scale": 12.0})
    aggregator = system.aggregator.model_copy(update={"exporter": exporter})
    return system.model_copy(update={"sensor": sensor, "link": link, "aggregator": aggregator})


def exported(split: int, dtype: str, views: int = 1, exporter: str = "onnxruntime", shared: bool = False) -> Bundle:
    """A verified bundle of the smallest `tiny` network cut after `split` units; -1 is all on the sensor."""
    return _exported(split, dtype, views, exporter, shared)  # the cache takes f(1) and f(views=1) for two calls


@cache
def _exported(split: int, dtype: str, views: int, exporter: str, shared: bool) -> Bundle:
    space = space_of("tiny", views)
    smallest = space.smallest()
    architecture = with_link(space, smallest, smallest.units if split == -1 else split, dtype)
    name = f"split{split}-{dtype}-{views}-{exporter}-{shared}"
    network = subnetwork(space, architecture)
    system = fast_system(shared, exporter)
    return export_bundle(network, system, digit_images(views), scratch_folder() / name, predicted=PREDICTED)


@cache
def scratch_folder() -> Path:
    """A directory that is gone when the test run ends."""
    folder = Path(tempfile.mkdtemp(prefix="splitkit-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
