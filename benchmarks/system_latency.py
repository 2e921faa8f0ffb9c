"""Does a system's latency equal the sum of its parts? Two processes over a rate-shaped link, against each part alone.

    python benchmarks/system_latency.py [--system demo] [--space tiny] [--architectures 10] [--frames 100]
                                        [--lut FILE] [--json]

For each architecture the sum is: the sensor's half timed by its device, the link profile's model, the aggregator's half
timed by its device. The total is measured from the image's capture in the sensor's process to the scores in the
aggregator's. Weights are random: time does not depend on them. Figure `median_error`: the median over architectures
of |total / sum - 1|; the contract is <= 0.10. With a latency table, the prediction stands beside.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from report import emit
from splitkit.bundle import Bundle
from splitkit.bundle.export import export_bundle
from splitkit.devices import get_device
from splitkit.latency.predictor import SystemPredictor
from splitkit.latency.store import LutStore
from splitkit.profiles import System, load_system
from splitkit.profiles.schema import Side
from splitkit.runtime.measure import measure_bundle
from splitkit.space import Architecture, Sampler, SearchSpace, load_space
from splitkit.supernet import Supernet, extract

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
    parser.add_argument("--lut", type=Path, help="a latency table, for the prediction")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    space, system = load_space(given.space), load_system(given.system)
    supernet = Supernet(space, given.seed)
    rng = np.random.default_rng(given.seed)
    images = textured_images(space, rng)
    rows = []
    with tempfile.TemporaryDirectory(prefix="splitkit-") as folder:
        for i, architecture in enumerate(architectures(space, given.architectures, rng)):
            network = extract(supernet, architecture, torch.from_numpy(images))
            bundle = export_bundle(network, system, images, Path(folder) / str(i))
            rows.append(compare(bundle, system, given.frames) | predicted(space, system, architecture, given.lut))
    totals = [(row["total_us"], row["predicted_us"]) for row in rows if "predicted_us" in row]
    errors = np.array([abs(row["total_over_sum"] - 1) for row in rows])
    figures = {
        "median_error": float(np.median(errors)),
        "max_error": float(errors.max()),
        "median_total_over_sum": float(np.median([row["total_over_sum"] for row in rows])),
    }
    if totals:
        figures["median_prediction_error"] = float(np.median([abs(there / here - 1) for here, there in totals]))
    labels = " and ".join(f"{side} {get_device(system.device(side)).label()}" for side in ("sensor", "aggregator"))
    emit("system_latency", figures, rows, as_json=given.json, notes=f"Times in us, medians; {labels}.")


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


def compare(bundle: Bundle, system: System, frames: int) -> dict[str, Any]:
    """One row: each part alone and in the system. Parts are timed before and after, since a machine drifts."""
    link_us = float(system.link.latency_us(float(bundle.manifest.link.payload_bytes), bundle.manifest.views))
    before = {side: part_us(bundle, system, side) for side in ("sensor", "aggregator")}
    measured = measure_bundle(bundle, frames).medians()
    after = {side: part_us(bundle, system, side) for side in ("sensor", "aggregator")}
    alone = {side: (before[side] + after[side]) / 2 for side in before}
    total_of_parts = alone["sensor"] + link_us + alone["aggregator"]
    return {
        "cut": str(bundle.architecture).partition(" cut ")[2],
        "total_over_sum": measured["total_us"] / total_of_parts,
        "total_us": measured["total_us"],
        "sum_us": total_of_parts,
        "sensor_us": measured["sensor_us"],
        "sensor_alone_us": alone["sensor"],
        "link_us": measured["link_us"],
        "link_model_us": link_us,
        "aggregator_us": measured["aggregator_us"],
        "aggregator_alone_us": alone["aggregator"],
    }


def predicted(space: SearchSpace, system: System, architecture: Architecture, table: Path | None) -> dict[str, float]:
    """The prediction's total, if there is a latency table."""
    if table is None:
        return {}
    with LutStore(table) as store:
        return {"predicted_us": float(SystemPredictor(space, system, store).predict_one(architecture).total_us[0])}


def part_us(bundle: Bundle, system: System, side: Side) -> float:
    """Median time of one half alone on its device, as of what is played; 0 where it does not exist."""
    artifact = bundle.artifact(side)
    if artifact is None:
        return 0.0
    return float(np.median(get_device(system.device(side)).time_graph(artifact, PART_REPEATS).samples_us))


if __name__ == "__main__":
    main()
