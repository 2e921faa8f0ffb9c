"""What the processes that play a system on this machine add to every frame, measured once, kept in the latency table.

The same two programs run a bundle that hardly computes: the sensor sends its image, the aggregator averages it. The
link's profile is taken off what the link took, and off the aggregator's stage what its half takes alone.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from splitkit.bundle import (
    MANIFEST,
    Bundle,
    HalfRecord,
    LinkRecord,
    Manifest,
    TensorRecord,
    hash_files,
)
from splitkit.devices import get_device
from splitkit.devices.pinning import usable_cpus
from splitkit.exporters.registry import get_exporter
from splitkit.latency.hop import calibration_link, hop_between, runs_here
from splitkit.latency.store import HopConditions, HopTime, LutStore
from splitkit.profiles.schema import System
from splitkit.runtime.measure import measure_bundle
from splitkit.runtime.placement import place_aggregator, place_sensor
from splitkit.runtime.programs import implementation_of
from splitkit.space import load_space

PAYLOAD_BYTES = (64, 512, 2048, 8192, 32768)
FRAMES, SECONDS = (50, 400), 1.5
"""Fewest and most frames; between them as many as the link carries in so long."""

HALF_RUNS = 500


def calibrate(store: LutStore, system: System, views: int) -> HopConditions | None:
    """Measure the runtime's own time between the devices of `system` into `store`, unless it is the last known there.

    Returns what it holds under; None for a system that does not run here.

    Raises:
        LinkError: a process failed.
        ModelError, ToolchainError: from the aggregator's exporter.
    """
    if not runs_here(system):
        return None
    conditions = current_conditions(system, views)
    known = store.last_hop(conditions.sensor, conditions.aggregator, views, conditions.link)
    if known is None or known[0] != conditions:
        store.replace_hop(conditions, [measure_hop(system, views, payload) for payload in PAYLOAD_BYTES])
    return conditions


def current_conditions(system: System, views: int) -> HopConditions:
    """The runtime that plays a system here now, and how its processes are placed."""
    runtime = implementation_of(system)
    places = [place_sensor(system, view, views) for view in range(views)]
    polling = sum(place.patience.poll_ns > 0 for place in [*places, place_aggregator(system)])
    placement = f"{polling} of {views + 1} processes poll, {len(usable_cpus())} processors"
    return hop_between(system, views, f"{runtime.name} {runtime.version}", placement)


def measure_hop(system: System, views: int, payload_bytes: int) -> HopTime:
    """What the runtime adds to a frame of one payload, a multiple of 4 bytes: medians."""
    unscaled = {side: system.device(side).unscaled() for side in ("sensor", "aggregator")}
    link = calibration_link(system.link)
    plain = system.model_copy(update={**unscaled, "link": link})
    link_us = float(link.latency_us(float(payload_bytes), views))
    with TemporaryDirectory(prefix="splitkit-") as scratch:
        bundle = _averaging_bundle(Path(scratch), plain, views, payload_bytes // 4)
        artifact = bundle.artifact("aggregator")
        assert artifact is not None
        medians = measure_bundle(bundle, int(np.clip(SECONDS * 1e6 / link_us, *FRAMES))).medians()
        alone_us = get_device(plain.aggregator).time_graph(artifact, HALF_RUNS).undisturbed_us
    added = (medians["link_us"] - link_us, medians["aggregator_us"] - alone_us)
    return HopTime(payload_bytes, *(max(us, 0.0) for us in added))


def _averaging_bundle(directory: Path, system: System, views: int, values: int) -> Bundle:
    """A bundle whose sensors send `values` floats as they are and whose aggregator gives the mean of each view."""
    device = get_device(system.aggregator)
    artifact = get_exporter(system.aggregator.exporter).compile(
        _averaging_model(views, values), device.target(), directory / "aggregator"
    )
    rng = np.random.default_rng(0)
    images = rng.uniform(0.25, 1.0, (16, views, 1, 1, values)).astype(np.float32)
    np.savez(directory / "sample.npz", images=images, scores=images.mean(axis=(2, 3, 4)))
    space = load_space("tiny")
    view = TensorRecord(name="link", shape=(1, 1, 1, values), dtype="float32")
    scores = TensorRecord(name="scores", shape=(views, 1), dtype="float32")
    manifest = Manifest(
        created_by="calibration",
        space=space,
        architecture=space.smallest().to_json(),
        system=system,
        views=views,
        image=view,
        link=LinkRecord(**view.model_dump(), payload_bytes=4 * values),
        scores=scores,
        sensor=None,
        aggregator=HalfRecord(
            onnx="", artifact="aggregator", input=view.model_copy(update={"shape": (views, 1, 1, values)}),
            output=scores, exporter=artifact.exporter, exporter_version=artifact.version,
            device=system.aggregator.name, macs=0, arena_bytes=artifact.memory.arena_bytes,
            weight_bytes=artifact.memory.weight_bytes,
        ),
        verification=(),
        predicted={},
        files=hash_files(directory),
    ).identified()  # fmt: skip
    (directory / MANIFEST).write_text(manifest.text(), encoding="utf-8")
    return Bundle(directory, manifest)


def _averaging_model(views: int, values: int) -> onnx.ModelProto:
    shapes = {"link": (views, 1, 1, values), "scores": (views, 1)}
    edges = {
        name: onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    }  # fmt: skip
    nodes = [
        onnx.helper.make_node("GlobalAveragePool", ["link"], ["mean"]),
        onnx.helper.make_node("Flatten", ["mean"], ["scores"]),
    ]
    graph = onnx.helper.make_graph(nodes, "average", [edges["link"]], [edges["scores"]])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
