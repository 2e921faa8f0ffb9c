"""How far off is the prediction of a system that runs? Two processes over a rate-shaped link, against the table.

    python benchmarks/system_latency.py [--system demo] [--space tiny] [--architectures 10] [--frames 100]
                                        [--budget 120] [--lut FILE] [--json]

A latency table is built for so many seconds, without the architectures it is judged by (or FILE is used as it is), and
the runtime's own time is calibrated as `splitkit bench` does. Then every architecture runs as two processes: its total
is measured from the image's capture in the sensor's process to the scores in the aggregator's. Weights are random: time
does not depend on them. Everything is done twice: on SYSTEM, and with this machine unscaled on both sides of its link
(`hosts`), where the runtime's own time weighs most.

Figures: `median_error` and `worst_error`, of |prediction / median total - 1| over the architectures (bars 0.05, 0.15);
`overhead_us_per_frame`, the median over them of what link and aggregator take beyond the link's profile and the half
timed alone (bar 40). `median_total_over_sum` is the total over the sum of the parts timed alone, without the runtime's
own time. `hosts_...` are the same there. An idle machine is needed: nothing else may run on it.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from report import emit
from splitkit.bench.networks import build_from_space
from splitkit.bundle import Bundle, Searched
from splitkit.bundle.export import export_bundle
from splitkit.devices import get_device
from splitkit.latency.predictor import SystemPredictor
from splitkit.latency.store import LutStore
from splitkit.profiles import System, load_device, load_system
from splitkit.runtime.calibration import calibrate
from splitkit.runtime.measure import measure_bundle
from splitkit.sides import SIDES, Side
from splitkit.space import Architecture, Sampler, SearchSpace, load_space
from splitkit.supernet import SubNetwork, Supernet, extract

PART_REPEATS = 300
VERIFICATION_FRAMES = 64


def main() -> None:
    """Measure, print a table or one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--system", default="demo")
    parser.add_argument("--space", default="tiny")
    parser.add_argument("--architectures", type=int, default=10)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=float, default=120.0, help="seconds for the latency table")
    parser.add_argument("--lut", type=Path, help="a latency table that exists; what it lacks is added")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    space, system = load_space(given.space), load_system(given.system)
    rng = np.random.default_rng(given.seed)
    images = textured_images(space, rng)
    chosen = architectures(space, given.architectures, rng)
    supernet = Supernet(space, given.seed)
    networks = [extract(supernet, architecture, torch.from_numpy(images)) for architecture in chosen]
    with tempfile.TemporaryDirectory(prefix="splitkit-") as folder, open_table(given.lut, Path(folder)) as store:
        if given.lut is None:
            for side in SIDES:
                build_from_space(store, space, system, side, budget_s=given.budget, exclude=chosen, seed=given.seed)
        rows, figures, notes = [], {}, []
        for name, one in (("", system), ("hosts_", unscaled(system))):
            found, link = compare_all(store, space, one, networks, images, given.frames)
            rows += found
            figures |= {f"{name}{figure}": value for figure, value in figures_of(found).items()}
            labels = " and ".join(f"{side} {get_device(one.device(side)).label()}" for side in SIDES)
            notes.append(f"{one.name}: {labels}; link: {link}.")
    emit("system_latency", figures, rows, as_json=given.json, notes=" ".join(["Times in us, medians.", *notes]))


def open_table(path: Path | None, folder: Path) -> LutStore:
    """The table given, or a new one."""
    return LutStore(path or folder / "lut.db")


def unscaled(system: System) -> System:
    """This machine on both sides of the system's link."""
    host = load_device("host")
    return system.model_copy(update={"name": "hosts", "sensor": host, "aggregator": host})


def compare_all(
    store: LutStore,
    space: SearchSpace,
    system: System,
    networks: Sequence[SubNetwork],
    images: NDArray[np.uint8],
    frames: int,
) -> tuple[list[dict[str, Any]], str]:
    """A row per network on one system, and what its link's time consists of."""
    calibrate(store, system, space.views)
    predictor = SystemPredictor(space, system, store)
    rows = []
    for network in networks:
        with tempfile.TemporaryDirectory(prefix="splitkit-") as folder:
            bundle = export_bundle(network, system, images, Path(folder) / "bundle")
            rows.append(compare(bundle, system, predictor, frames))
    return rows, predictor.hop.text()


def figures_of(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """What the bars are about."""
    errors = np.array([abs(row["error"]) for row in rows])
    return {
        "median_error": float(np.median(errors)),
        "worst_error": float(errors.max()),
        "overhead_us_per_frame": float(np.median([row["overhead_us"] for row in rows])),
        "median_total_over_sum": float(np.median([row["total_over_sum"] for row in rows])),
    }


def architectures(space: SearchSpace, n: int, rng: np.random.Generator) -> list[Architecture]:
    """One of each degenerate system, the rest split at random."""
    samplers = {place: Sampler(space.restricted(place), rng) for place in space.placements}
    chosen = [samplers[place].uniform() for place in ("aggregator", "sensor") if place in samplers][: max(0, n - 1)]
    split = samplers.get("split", Sampler(space, rng))
    return chosen + [split.uniform() for _ in range(n - len(chosen))]


def textured_images(space: SearchSpace, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Smooth random textures, uint8 (frames, views, channels, size, size): unlike noise, they tell networks apart."""
    shape = (VERIFICATION_FRAMES * space.views, space.input.channels, 5, 5)
    coarse = torch.from_numpy(rng.uniform(0, 255, shape).astype(np.float32))
    smooth = torch.nn.functional.interpolate(coarse, size=(space.input.size,) * 2, mode="bicubic").clamp(0, 255)
    pixels: NDArray[np.uint8] = smooth.round().to(torch.uint8).numpy()
    return pixels.reshape(VERIFICATION_FRAMES, space.views, *pixels.shape[1:])


def compare(bundle: Bundle, system: System, predictor: SystemPredictor, frames: int) -> dict[str, Any]:
    """One row: predicted, measured, and each part alone, before and after, since a machine drifts."""
    before = {side: part_us(bundle, system, side) for side in SIDES}
    found = measure_bundle(bundle, frames)
    alone = {side: (before[side] + part_us(bundle, system, side)) / 2 for side in SIDES}
    origin = bundle.manifest.origin
    assert isinstance(origin, Searched)
    measured, predicted = found.medians(), predictor.predict_one(origin.architecture)
    return {
        "system": system.name,
        "cut": str(origin.architecture).partition(" cut ")[2],
        "error": float(predicted.total_us[0]) / measured["total_us"] - 1,
        "overhead_us": measured["link_us"] - found.link_profile_us + measured["aggregator_us"] - alone["aggregator"],
        "total_over_sum": measured["total_us"] / (alone["sensor"] + found.link_profile_us + alone["aggregator"]),
        "total_us": measured["total_us"],
        "predicted_total_us": float(predicted.total_us[0]),
        "sensor_us": measured["sensor_us"],
        "predicted_sensor_us": float(predicted.sensor_us[0]),
        "sensor_alone_us": alone["sensor"],
        "link_us": measured["link_us"],
        "predicted_link_us": float(predicted.link_us[0]),
        "link_profile_us": found.link_profile_us,
        "aggregator_us": measured["aggregator_us"],
        "predicted_aggregator_us": float(predicted.aggregator_us[0]),
        "aggregator_alone_us": alone["aggregator"],
        "runtime": found.runtime,
    }


def part_us(bundle: Bundle, system: System, side: Side) -> float:
    """Median time of one half alone on its device, as of what is played; 0 where it does not exist."""
    artifact = bundle.artifact(side)
    if artifact is None:
        return 0.0
    return float(np.median(get_device(system.device(side)).time_graph(artifact, PART_REPEATS).samples))


if __name__ == "__main__":
    main()
