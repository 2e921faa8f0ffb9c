"""What several views are worth, and which way of joining them is best.

    python benchmarks/multiview.py [--data shapes3d] [--views 1 2 4 12] [--seeds 0 1 2] [--work DIR] [--json]

`--data` is `shapes3d` or a tree of 3D models. For every number of views and every seed a supernet is trained by its
space's own schedule. Its largest network is then split behind the stem (early), in the middle and before the head
(late), joined in every way, half of the channels sent; one that scores each view by itself and takes the mean stands
beside. Which is best the search slice says, with shared weights. That one is fine-tuned and tested, and so are the two
usual ways: channels side by side, early, and the strongest view, late.

Frames may lack views, which training drops some of; accuracy is also that with one view left out, the mean over all of
them, and with half of them, the mean over `SUBSETS` draws.

Figures, means over the seeds with a 95 % t interval where there are several, named after the data: `fused_gain`, test
accuracy of the best way with the most views less that of one view; `best_less_late_max`, `best_less_early_concat`, of
the most views; `single_view_accuracy`; `loss_one_missing`, `loss_half_missing`, of the best way with four views.
Rendering is timed as well: `render_s` from nothing, `render_again_s` from what was kept, of
12 views of all models at the captured size, and whether both gave the same pixels.

What is in `--work` already is not run again.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student

from report import emit, status
from splitkit.data import Dataset, load_dataset
from splitkit.data.object_tree import kind_of_tree
from splitkit.embedded import EMBEDDED
from splitkit.project.fitting import fit_space
from splitkit.space import Architecture, SearchSpace, load_space
from splitkit.supernet import SubNetwork, extract
from splitkit.training import calibration_images, fine_tune, score, score_subnetwork, train
from splitkit.training.config import default_fine_tune_config, default_train_config

MOST_RENDERED = 12
"""Views of the ring that is timed."""

SUBSETS = 6
"""Draws of the views that are left of a frame."""

ROBUST = 4
"""Views of the networks whose loss without some of them is a figure."""


def space_of(data: str, views: int) -> SearchSpace:
    """`tiny`, or what `splitkit init` makes of a folder, for so many views."""
    space = load_space("tiny") if data in EMBEDDED else fit_space(Path(data)).space()
    return space.model_copy(update={"input": space.input.model_copy(update={"views": views, "masked": views > 1})})


def ways(space: SearchSpace) -> dict[str, Architecture]:
    """The largest network, its views joined in every way; one view is not cut at all."""
    if space.views == 1:
        return {"one view": space.largest(0)}
    units = space.largest(0).units
    at = {"early": 1, "middle": units // 2, "late": units - 1}
    found = {
        f"{where} {fusion}": space.canonical(
            replace(space.largest(split), fusion=fusion, link_dtype="float32", reduce_ratio=0.5)
        )
        for where, split in at.items()
        for fusion in space.fusions
    }
    return found | {"mean of scores": space.largest(space.max_units)}


def run(source: str, data: Dataset, space: SearchSpace, seed: int, work: Path) -> list[dict[str, Any]]:
    """Train, choose, fine-tune and test; one row a way that was tested."""
    config = default_train_config(space).model_copy(update={"seed": seed})
    supernet = train(space, data, config, work / f"{space.views}-{seed}.pt", resume=True, device="cpu")
    calibration = calibration_images(data.train, seed=seed)
    candidates = ways(space)
    scores = {name: score(supernet, a, data.search, calibration).score for name, a in candidates.items()}
    best = max(scores, key=lambda name: scores[name].log_likelihood)
    tuning = default_fine_tune_config(space).model_copy(update={"seed": seed})
    rows = []
    for name in dict.fromkeys((best, *({"late max", "early concat", "mean of scores"} & set(candidates)))):
        network = extract(supernet, candidates[name], calibration)
        fine_tune(network, data.train, data.augmentation, tuning)
        rows.append(
            {
                "data": Path(source).name,
                "views": space.views,
                "seed": seed,
                "way": name,
                "best": name == best,
                "shared, search slice": scores[name].accuracy,
                "test": score_subnetwork(network, data.test).score.accuracy,
                "test objects": len(data.test),
                **without_views(network, data, space.views),
            }
        )
    return rows


def without_views(network: SubNetwork, data: Dataset, views: int) -> dict[str, float]:
    """Test accuracy with one view missing, and with half of them; nothing for one view."""
    if views == 1:
        return {}
    rng = np.random.default_rng(0)
    halves = [rng.permutation(views) >= views // 2 for _ in range(SUBSETS)]
    masks = {"test, one missing": [np.arange(views) != lost for lost in range(views)], "test, half missing": halves}
    return {
        name: float(np.mean([score_subnetwork(network, data.test, mask.tolist()).score.accuracy for mask in found]))
        for name, found in masks.items()
    }


def rendering(source: str, work: Path) -> dict[str, float]:
    """Seconds of rendering all models of a tree, twice; nothing for what is no tree of models."""
    if source in EMBEDDED or kind_of_tree(Path(source)) != "meshes":
        return {}
    space, seconds, pixels = space_of(source, MOST_RENDERED), [], []
    with TemporaryDirectory(dir=work) as renders:
        for _ in range(2):
            start = time.perf_counter()
            data = load_dataset(source, space, renders=Path(renders))
            images = [part.take(torch.arange(len(part))).images for part in (data.all_training, data.test)]
            seconds.append(time.perf_counter() - start)
            pixels.append(torch.cat(images))
    return {
        "render_s": seconds[0],
        "render_again_s": seconds[1],
        "rendered_models": float(len(pixels[0])),
        "same_pixels": float(torch.equal(*pixels)),
    }


def mean_with_interval(name: str, values: Sequence[float]) -> dict[str, float]:
    """Their mean, and a t interval if there are several."""
    figures = {name: float(np.mean(values))}
    if len(values) > 1:
        half = float(student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
        figures |= {f"{name}_low": figures[name] - half, f"{name}_high": figures[name] + half}
    return figures


def figures_of(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """What the rows come to; a figure needs all seeds it is a mean of."""
    test = {(r["views"], r["seed"], r["way"]): r["test"] for r in rows}
    best = {(r["views"], r["seed"]): r["test"] for r in rows if r["best"]}
    seeds, most = sorted({r["seed"] for r in rows}), max(r["views"] for r in rows)
    figures: dict[str, float] = {}
    if all((1, seed) in best for seed in seeds):
        figures |= mean_with_interval("single_view_accuracy", [best[1, seed] for seed in seeds])
        if most > 1:
            figures |= mean_with_interval("fused_gain", [best[most, seed] - best[1, seed] for seed in seeds])
    for name, way in (("best_less_late_max", "late max"), ("best_less_early_concat", "early concat")):
        if all((most, seed, way) in test for seed in seeds):
            figures |= mean_with_interval(name, [best[most, seed] - test[most, seed, way] for seed in seeds])
    robust = [row for row in rows if row["best"] and row["views"] == ROBUST]
    for name, column in (("loss_one_missing", "test, one missing"), ("loss_half_missing", "test, half missing")):
        if robust:
            figures |= mean_with_interval(name, [row["test"] - row[column] for row in robust])
    return {f"{rows[0]['data']}_{name}": value for name, value in figures.items()}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="shapes3d", help="shapes3d, or a tree of 3D models")
    parser.add_argument("--views", type=int, nargs="+", default=[1, 2, 4, 12])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=Path("multiview-work"), help="results are kept here")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    given = parser.parse_args()
    work = given.work / Path(given.data).name
    work.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for seed in given.seeds:
        for views in given.views:
            kept = work / f"{views}-{seed}.json"
            if not kept.exists():
                status(f"{views} views, seed {seed}")
                space = space_of(given.data, views)
                reading = {} if given.data in EMBEDDED else {"mirror": True, "renders": work / "renders"}
                data = load_dataset(given.data, space, seed, **reading)
                kept.write_text(json.dumps(run(given.data, data, space, seed, work)), encoding="utf-8")
            rows += json.loads(kept.read_text(encoding="utf-8"))
    figures = figures_of(rows) | rendering(given.data, work)
    status("")
    emit("multiview", figures, rows, as_json=given.json)


if __name__ == "__main__":
    main()
