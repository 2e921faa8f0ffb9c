"""How much of a core does a training step use, and how long do others take for the same?

Random sub-networks of a space take one training step each (forward, backward, optimiser) with one thread:

* the supernet, as `splitkit train` runs it;
* the same sub-networks as plain torch modules (`nn.Conv2d`, `nn.BatchNorm2d`, activation), channels last;
* a supernet of stateful layers as public ones are built (`stateful_supernet.py`);
* where the processor has instructions for it, the supernet in bfloat16: as `splitkit train` runs it there.

All of them and a float32 product of 1,024 x 1,024 matrices take turns, so that all see the same machine.
`share_of_gemm` is multiply-adds per second of the supernet's steps over those of the product; a step is counted as
three times the forward pass. `over_plain`, `over_stateful`, `bfloat16_over_plain` ... are ratios of time.
`products_over_plain` is the part of the plain modules' time that torch's profiler sees in convolutions and matrix
products: what `over_plain` would be if all the rest took no time and torch's products were kept. Sub-networks are all
on the sensor: without a splitting module, which the stateful supernet does not have.

    python benchmarks/train_step.py [--json] [--spaces cifar mobile] [--subnetworks 12] [--size 192]
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from stateful_supernet import StatefulSupernet
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from report import emit
from splitkit.space import Architecture, Sampler, SearchSpace, describe, load_space
from splitkit.space.operators import Operator
from splitkit.supernet import SubNetwork, Supernet
from splitkit.supernet.interpret import Tail
from splitkit.supernet.subnetwork import PlainUnit
from splitkit.training.config import OptimiserConfig
from splitkit.training.optimise import apply_gradients, make_optimiser
from splitkit.training.precision import computing_in, has_bfloat16

GEMM = 1024

PRODUCTS = {"aten::mkldnn_convolution", "aten::convolution_backward", "aten::addmm", "aten::mm"}
"""What torch's profiler calls convolutions and matrix products, forward and backward."""


class PlainTorch(PlainUnit):
    """A unit run by torch's own modules, one by one."""

    def conv(self, name: str, operator: Operator, x: Tensor, tail: Tail) -> Tensor:
        x = self.convs[name](x)
        return tail.apply(self.norms[name](x) if name in self.norms else x)


def plain_modules(space: SearchSpace, architecture: Architecture) -> SubNetwork:
    """The sub-network as a torch user would write it."""
    network = SubNetwork(space, architecture)
    for unit in network.units():
        unit.__class__ = PlainTorch
    return network.train()


def architectures(space: SearchSpace, count: int, size: int | None, seed: int) -> list[Architecture]:
    """Random ones without a splitting module; with `size`, those of one resolution."""
    sampler, found = Sampler(space.restricted("sensor"), np.random.default_rng(seed)), []
    while len(found) < count:
        drawn = sampler.uniform()
        if size is None or drawn.resolution == size:
            found.append(drawn)
    return found


def stepper(model: nn.Module, labels: Tensor) -> Callable[[Callable[[], Tensor]], None]:
    """A function that takes one step of `model`, given its forward pass."""
    config = OptimiserConfig(steps=1000, batch=len(labels), learning_rate=1e-4)
    optimiser = make_optimiser(model, config)

    def step(forward: Callable[[], Tensor]) -> None:
        F.cross_entropy(forward(), labels).backward()  # type: ignore[no-untyped-call]
        apply_gradients(model, optimiser, 0, config)

    return step


def rounded(supernet: Supernet, images: Tensor, architecture: Architecture) -> Tensor:
    """The scores, computed in bfloat16."""
    with computing_in("bfloat16", images.device):
        scores: Tensor = supernet(images, architecture).float()
    return scores


def seconds(work: Callable[[], object]) -> float:
    """Of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def share_of_products(work: Callable[[], object]) -> float:
    """Of a call's time in torch's operators."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        work()
    times = {event.key: event.self_cpu_time_total for event in found.key_averages()}
    return sum(us for name, us in times.items() if name in PRODUCTS) / sum(times.values())


def compare(space: SearchSpace, size: int | None, batch: int, count: int, repeats: int) -> list[dict[str, Any]]:
    """One row per sub-network: multiply-accumulates and the median seconds of each way."""
    shape = (batch, space.views, space.input.channels, space.input.size, space.input.size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8)
    labels = torch.randint(0, space.head.classes, (batch,))
    supernet, stateful = Supernet(space), StatefulSupernet(space)
    ours, public = stepper(supernet, labels), stepper(stateful, labels)
    matrix = torch.randn(GEMM, GEMM)
    rows = []
    for architecture in architectures(space, count, size, seed=0):
        plain = plain_modules(space, architecture)
        own = stepper(plain, labels)
        stateful.set_active(architecture)
        ways: dict[str, Callable[[], object]] = {
            "gemm": lambda: [matrix @ matrix for _ in range(4)],
            "supernet": lambda a=architecture: ours(lambda: supernet(images, a)),  # type: ignore[misc]
            "plain": lambda own=own, plain=plain: own(lambda: plain(images)),  # type: ignore[misc]
            "stateful": lambda: public(lambda: stateful(images)),
        }
        if has_bfloat16(images.device):
            ways["bfloat16"] = lambda a=architecture: ours(partial(rounded, supernet, images, a))  # type: ignore[misc]
        for work in ways.values():
            work()
        found = {way: [] for way in ways}  # type: dict[str, list[float]]
        for _ in range(repeats):
            for way, work in ways.items():
                found[way].append(seconds(work))
        network = describe(space, architecture)
        median = {way: float(np.median(times)) for way, times in found.items()}
        rate = batch * 3 * network.macs("sensor") / median["supernet"]
        rows.append(
            {
                "space": space.name,
                "sub-network": str(architecture),
                "MMAC": network.macs("sensor") / 1e6,
                "GEMM GMAC/s": 4 * GEMM**3 / median["gemm"] / 1e9,
                "GMAC/s": rate / 1e9,
                "ms": median["supernet"] * 1e3,
                "plain ms": median["plain"] * 1e3,
                "products' share of plain": share_of_products(ways["plain"]),
                "stateful ms": median["stateful"] * 1e3,
                **({"bfloat16 ms": median["bfloat16"] * 1e3} if "bfloat16" in median else {}),
            }
        )
    return rows


def figures_of(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Totals over sub-networks."""
    ours = sum(row["ms"] for row in rows)
    plain, stateful = (sum(row[f"{way} ms"] for row in rows) for way in ("plain", "stateful"))
    ideal = sum(row["ms"] * row["GMAC/s"] / row["GEMM GMAC/s"] for row in rows)
    products = sum(row["plain ms"] * row["products' share of plain"] for row in rows)
    figures = {
        "share_of_gemm": ideal / ours,
        "over_plain": ours / plain,
        "over_stateful": ours / stateful,
        "products_over_plain": products / plain,
    }
    if "bfloat16 ms" in rows[0]:
        rounded_ms = sum(row["bfloat16 ms"] for row in rows)
        figures |= {"bfloat16_over_plain": rounded_ms / plain, "bfloat16_over_stateful": rounded_ms / stateful}
    return figures


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--spaces", nargs="+", default=["cifar", "mobile"], help="presets or .toml files")
    parser.add_argument("--subnetworks", type=int, default=12, help="random sub-networks of each space")
    parser.add_argument("--repeats", type=int, default=5, help="steps of each way and sub-network; the median counts")
    parser.add_argument("--size", type=int, default=192, help="resolution in `mobile`")
    parser.add_argument("--batch", type=int, default=64, help="images a step; a quarter of it in `mobile`")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, float] = {}
    rows: list[dict[str, Any]] = []
    for name in arguments.spaces:
        space = load_space(name)
        large = space.input.size > 64
        batch = arguments.batch // 4 if large else arguments.batch
        found = compare(space, arguments.size if large else None, batch, arguments.subnetworks, arguments.repeats)
        prefix = "" if space.name == "cifar" else f"{space.name}_"
        figures |= {prefix + figure: value for figure, value in figures_of(found).items()}
        rows += found
    emit("train_step", figures, rows, as_json=arguments.json, notes="One thread; every figure from one run.")


if __name__ == "__main__":
    main()
