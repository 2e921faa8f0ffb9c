"""Bundles exported once per test run."""

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import onnx

from splitkit.bundle import MANIFEST, Bundle, Partitioned
from splitkit.bundle.export import export_bundle
from splitkit.bundle.partition import export_partition
from splitkit.graphs.model import load_model
from splitkit.profiles import System, load_system
from tests.bundle.plain_models import inputs_of
from tests.networks import digit_images, space_of, subnetwork, with_link
from tests.scratch import scratch_folder

PREDICTED = {"total_us": 1234.0}


def fast_system(shared: bool = False, exporter: str = "onnxruntime") -> System:
    """The demo system with another compiler, a link of 4 MB/s, and a sensor slowed down less."""
    system = load_system("demo")
    link = system.link.model_copy(update={"bandwidth_bytes_per_s": 4e6, "shared": shared})
    sensor = system.sensor.model_copy(update={"exporter": exporter, "time_scale": 12.0})
    aggregator = system.aggregator.model_copy(update={"exporter": exporter})
    return system.model_copy(update={"sensor": sensor, "link": link, "aggregator": aggregator})


def exported(
    split: int, dtype: str, views: int = 1, exporter: str = "onnxruntime", shared: bool = False, *, masked: bool = False
) -> Bundle:
    """A verified bundle of the smallest `tiny` network cut after `split` units; -1 is all on the sensor."""
    return _exported(split, dtype, views, exporter, shared, masked)  # the cache takes f(1) and f(views=1) for two calls


@cache
def _exported(split: int, dtype: str, views: int, exporter: str, shared: bool, masked: bool) -> Bundle:
    space = space_of("tiny", views, masked=masked)
    smallest = space.smallest()
    architecture = with_link(space, smallest, smallest.units if split == -1 else split, dtype)
    name = f"split{split}-{dtype}-{views}-{exporter}-{shared}-{masked}"
    network = subnetwork(space, architecture)
    system = fast_system(shared, exporter)
    return export_bundle(network, system, digit_images(views), scratch_folder() / name, predicted=PREDICTED)


def partitioned(model: onnx.ModelProto, *cut: str, exporter: str = "tvm") -> Bundle:
    """A verified bundle of a model from outside, cut at these tensors."""
    return _partitioned(model.SerializeToString(), cut, exporter)


@cache
def _partitioned(content: bytes, cut: tuple[str, ...], exporter: str) -> Bundle:
    folder = scratch_folder() / f"{hashlib.sha256(content).hexdigest()[:8]}-{'-'.join(cut)}-{exporter}"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(content)
    model = load_model(folder / "model.onnx")
    origin = Partitioned.of(folder / "model.onnx", *cut)
    return export_partition(model, origin, fast_system(exporter=exporter), inputs_of(model), folder / "bundle")


def reseal(directory: Path, change: Callable[[dict[str, Any]], None] = lambda manifest: None) -> None:
    """Change a bundle's manifest, and make every digest in it right again: what a forger would do."""
    file = directory / MANIFEST
    body: dict[str, Any] = json.loads(file.read_text())
    for name, record in body["files"].items():
        if (directory / name).is_file():
            content = (directory / name).read_bytes()
            record |= {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    change(body)
    about = {"id", "checksum", "predicted", "verification", "files"}
    graphs = {name: record["sha256"] for name, record in body["files"].items() if name.endswith(".onnx")}
    body["id"] = _digest({key: value for key, value in body.items() if key not in about} | {"graphs": graphs})
    body["checksum"] = _digest({key: value for key, value in body.items() if key != "checksum"})
    file.write_text(json.dumps(body, indent=1, sort_keys=True) + "\n")


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
