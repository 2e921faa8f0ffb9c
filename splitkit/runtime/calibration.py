"""What the processes that play a system on this machine add to every frame, measured once, kept in the latency table.

The same two programs run a bundle that computes little: the sensor sends its image, the aggregator makes it small. The
link's profile is taken off what the link took, and off the aggregator's stage what its half takes alone.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from splitkit.bundle import Bundle
from splitkit.devices import get_device
from splitkit.devices.pinning import usable_cpus
from splitkit.latency.hop import calibration_link, hop_between, runs_here
from splitkit.latency.rows import HopConditions, HopTime
from splitkit.latency.store import LutStore
from splitkit.profiles.schema import System
from splitkit.runtime.measure import measure_bundle
from splitkit.runtime.placement import place_aggregator, place_sensor
from splitkit.runtime.programs import implementation_of
from splitkit.space import load_space

SIZES = (16, 48, 96)
"""Sides of the images that are sent, in pixels: 256 bytes to 9 KB."""

BLOCK = 4
"""Sides of what is of one colour in them: unlike noise, that tells networks' results apart."""

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
        store.replace_hop(conditions, [measure_hop(system, views, size) for size in SIZES])
    return conditions


def current_conditions(system: System, views: int) -> HopConditions:
    """The runtime that plays a system here now, and how its processes are placed."""
    runtime = implementation_of(system)
    places = [place_sensor(system, view, views) for view in range(views)]
    polling = sum(place.patience.poll_ns > 0 for place in [*places, place_aggregator(system)])
    placement = f"{polling} of {views + 1} processes poll, {len(usable_cpus())} processors"
    return hop_between(system, views, f"{runtime.name} {runtime.version}", placement)


def measure_hop(system: System, views: int, size: int) -> HopTime:
    """What the runtime adds to a frame that carries a grey image of so many pixels a side: medians."""
    unscaled = {side: system.device(side).unscaled() for side in ("sensor", "aggregator")}
    link = calibration_link(system.link)
    plain = system.model_copy(update={**unscaled, "link": link})
    with TemporaryDirectory(prefix="splitkit-") as scratch:
        bundle = _small_bundle(plain, views, size, Path(scratch) / "bundle")
        artifact, payload_bytes = bundle.artifact("aggregator"), bundle.link.payload_bytes
        assert artifact is not None
        link_us = float(link.latency_us(float(payload_bytes), views))
        medians = measure_bundle(bundle, int(np.clip(SECONDS * 1e6 / link_us, *FRAMES))).medians()
        alone_us = get_device(plain.aggregator).time_graph(artifact, HALF_RUNS).undisturbed
    added = (medians["link_us"] - link_us, medians["aggregator_us"] - alone_us)
    return HopTime(payload_bytes, *(max(us, 0.0) for us in added))


def _small_bundle(system: System, views: int, size: int, directory: Path) -> Bundle:
    """The smallest network of the smallest space, all on the aggregator, whatever the size of the images it is sent."""
    import torch

    from splitkit.bundle.export import export_bundle
    from splitkit.supernet import Supernet, extract

    tiny = load_space("tiny")
    seen = {"views": views, "channels": 1, "size": size, "resolutions": (SIZES[0],)}
    space = tiny.model_copy(update={"input": tiny.input.model_copy(update=seen)}).restricted("aggregator")
    pixels = np.random.default_rng(0).integers(0, 256, (64, views, 1, size // BLOCK, size // BLOCK), dtype=np.uint8)
    images = pixels.repeat(BLOCK, axis=3).repeat(BLOCK, axis=4)
    network = extract(Supernet(space, 0), space.smallest(), torch.from_numpy(images))
    return export_bundle(network, system, images, directory)
