"""How many architectures per second are predicted, on one core?

A population of 100,000 distinct architectures of `mobile`, encoded as gene vectors, goes through the system predictor:
sensor, link, aggregator and total time, payload, sensor memory, MACs of both sides and the measured share, with every
unit of the space looked up beforehand. The system is analytical (`hmd`); measured tables are predicted from by the same
sums. Times are processor time of one thread. Beside it, on the same architectures and the same core:

* once-for-all's own lookup-table class (`pip install --no-deps ofa`), its table filled with constants, which
  is asked for one latency: no split, no link, no memory. Without the package this row is left out.
* a plain table in numpy: a gather per block position, one sum per side. It is filled with MACs and its sums are checked
  against the predictor's; no link, no payload, no memory.

    python benchmarks/predictor_throughput.py [--json] [--architectures 100000] [--repeats 7]
"""

import argparse
import importlib.util
import os
import statistics
import sys
import time
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from report import emit
from splitkit.latency.predictor import SystemPredictor
from splitkit.latency.store import LutStore
from splitkit.profiles import load_system
from splitkit.space import Architecture, Sampler, SearchSpace, describe, load_space
from splitkit.space.encoding import Encoding, IntArray
from splitkit.space.units import Block, Head, Stem

OFA_ARCHITECTURES = 2_000
"""once-for-all answers one at a time: a share of the population is enough to time it."""


def population(space: SearchSpace, count: int, seed: int) -> list[Architecture]:
    """Distinct architectures, uniformly drawn."""
    sampler = Sampler(space, np.random.default_rng(seed))
    found: dict[Architecture, None] = {}
    while len(found) < count:
        found[sampler.uniform()] = None
    return list(found)


def per_second(work: Callable[[], Any], count: int, repeats: int) -> list[float]:
    """Items per second of each repeat, after one to warm up."""
    work()
    rates = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        rates.append(count / (time.process_time() - start))
    return rates


class PlainTable:
    """MACs by block position, resolution, widths, kernel and expansion: what one writes first.

    Every block position is looked up for all architectures; those an architecture lacks are masked away.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.tables: list[Any] = []
        sizes = list(space.input.resolutions)
        sizes = [-(-size // space.stem.stride) for size in sizes]
        before: tuple[int, ...] = space.stem.widths
        self.stem = np.array(
            [
                [self._macs(Stem(1, space.input.channels, space.input.size, r, w, space.stem.kernel,
                                 space.stem.stride, space.stem.activation)) for w in space.stem.widths]
                for r in space.input.resolutions
            ]
        )  # fmt: skip
        for phase in space.phases:
            shape = (len(sizes), len(before), len(phase.widths), len(phase.kernels), len(phase.expands))
            strided, plain = np.zeros(shape), np.zeros(shape)
            for index in np.ndindex(shape):
                size, width = sizes[index[0]], phase.widths[index[2]]
                rest = (phase.expands[index[4]], phase.kernels[index[3]])
                se, activation = phase.squeeze_excite, phase.activation
                strided[index] = self._macs(
                    Block(1, before[index[1]], width, size, "inverted", *rest, phase.stride, se, activation)
                )
                inner = -(-size // phase.stride)
                plain[index] = self._macs(Block(1, width, width, inner, "inverted", *rest, 1, se, activation))
            self.tables.append((strided, plain))
            sizes = [-(-size // phase.stride) for size in sizes]
            before = phase.widths
        head = space.head
        self.head = np.array(
            [
                [[self._macs(Head(1, c, size, head.expand * c, w, head.classes, head.activation)) for w in head.widths]
                 for c in before]
                for size in sizes
            ]
        )  # fmt: skip

    @staticmethod
    def _macs(unit: Any) -> float:
        return float(sum(op.macs for op in unit.operators(unit.input_tensors(), "unit")))

    def sums(self, genes: IntArray) -> tuple[Any, Any]:
        """Sums on the sensor and on the aggregator, shape (n,) each; without the splitting module."""
        space = self.space
        resolution, source = genes[:, 0], genes[:, 1]
        columns = [self.stem[resolution, source]]
        units = 2 + sum(1 + np.array(phase.after)[genes[:, 4 + 5 * i]] for i, phase in enumerate(space.phases))
        position = genes[:, -4]
        split = np.where(position == space.max_units, units, np.minimum(position, units - 1))
        sensor = np.where(split > 0, columns[0], 0.0)
        total = columns[0].copy()
        at = np.ones(len(genes), dtype=np.int64)
        for i, (phase, (strided, plain)) in enumerate(zip(space.phases, self.tables, strict=True)):
            width, _, after, kernel, expand = genes[:, 2 + 5 * i : 7 + 5 * i].T
            depth = np.array(phase.after)[after]
            for j in range(1 + max(phase.after)):
                table = plain if j else strided
                macs = np.where(j <= depth, table[resolution, source, width, kernel, expand], 0.0)
                total += macs
                sensor += np.where(at + j < split, macs, 0.0)
            at = at + 1 + depth
            source = width
        head = self.head[resolution, source, genes[:, -5]]
        total += head
        sensor += np.where(split == units, head, 0.0)
        return sensor, total - sensor


def check_plain(table: PlainTable, genes: IntArray, predicted: Any) -> None:
    """The plain sums are the predictor's wherever there is no splitting module to add."""
    sensor, aggregator = table.sums(genes)
    whole = (genes[:, -4] == 0) | (genes[:, -4] == table.space.max_units)
    assert whole.any()
    np.testing.assert_allclose(sensor[whole], predicted.sensor_macs[whole])
    np.testing.assert_allclose(aggregator[whole], predicted.aggregator_macs[whole])


class _Filling(dict[str, Any]):
    """A table that takes every key it is asked for, so that once-for-all's class meets a complete one afterwards."""

    def __missing__(self, key: str) -> dict[str, float]:
        self[key] = {"mean": 1.0}
        return self[key]  # type: ignore[no-any-return]


def once_for_all(space: SearchSpace, architectures: Sequence[Architecture]) -> Callable[[], None] | None:
    """once-for-all's predictions for these architectures, or None without the package."""
    module = _ofa_module()
    if module is None:
        return None
    table: Any = object.__new__(module.MBv3LatencyTable)  # its constructor downloads a table
    table.lut = _Filling()
    configs = [_ofa_config(space, architecture) for architecture in architectures]
    for config, size in configs:
        table.predict_network_latency_given_config(config, size)
    table.lut = dict(table.lut)

    def predict() -> None:
        for config, size in configs:
            table.predict_network_latency_given_config(config, size)

    return predict


def _ofa_module() -> Any:
    """once-for-all's module of tables, from its own file.

    What it imports beside (data loaders that want torchvision, an older PyYAML) its queries never touch.
    """
    package = importlib.util.find_spec("ofa")
    if package is None or not package.submodule_search_locations:
        return None
    path = Path(package.submodule_search_locations[0]) / "nas" / "efficiency_predictor" / "latency_lookup_table.py"
    spec = importlib.util.spec_from_file_location("ofa_latency_lookup_table", path)
    assert spec is not None
    assert spec.loader is not None
    unused = {"yaml": {}, "ofa.utils": {"download_url": None, "make_divisible": None, "MyNetwork": None}}
    for name, contents in unused.items():
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(contents)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in unused:
        del sys.modules[name]
    return module


def _ofa_config(space: SearchSpace, architecture: Architecture) -> tuple[dict[str, Any], int]:
    """The same chain of blocks in once-for-all's words, and the resolution."""
    whole = space.canonical(Architecture(**{**_fields(architecture), "split": 0, "fuse": 0}))
    units = [placed.unit for placed in describe(space, whole).aggregator]
    head = units[-1]
    assert isinstance(head, Head)
    blocks = [
        {
            "mobile_inverted_conv": {
                "in_channels": unit.in_channels,
                "out_channels": unit.out_channels,
                "kernel_size": unit.kernel,
                "stride": unit.stride,
                "mid_channels": unit.inner_channels,
                "use_se": unit.squeeze_excite,
                "act_func": "h_swish",
            },
            "shortcut": {} if unit.residual else None,
        }
        for unit in units
        if isinstance(unit, Block)
    ]
    config = {
        "first_conv": {"out_channels": whole.stem_width},
        "blocks": blocks,
        "final_expand_layer": {"in_channels": head.in_channels, "out_channels": head.conv_channels},
        "feature_mix_layer": {"in_channels": head.conv_channels, "out_channels": head.features},
        "classifier": {"in_features": head.features, "out_features": head.classes},
    }
    return config, whole.resolution


def _fields(architecture: Architecture) -> dict[str, Any]:
    return {name: getattr(architecture, name) for name in Architecture.__slots__}


def run(count: int, repeats: int, seed: int) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Figures and one row per way of predicting."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    space, system = load_space("mobile"), load_system("hmd")
    architectures = population(space, count, seed)
    genes = Encoding(space).encode_all(architectures)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "lut.db"
        with LutStore(path) as store:
            start = time.process_time()
            SystemPredictor(space, system, store).predict(genes)
            first_s = time.process_time() - start
        with LutStore(path) as store:
            start = time.process_time()
            predictor = SystemPredictor(space, system, store)
            predicted = predictor.predict(genes)
            known_s = time.process_time() - start
        rates = per_second(lambda: predictor.predict(genes), count, repeats)
    plain = PlainTable(space)
    check_plain(plain, genes, predicted)
    rows = [_row("splitkit: all terms, memory, MACs", rates)]
    plain_rates = per_second(lambda: plain.sums(genes), count, repeats)
    rows.append(_row("plain numpy table: two sums, no link", plain_rates))
    figures = {
        "architectures_per_s": statistics.median(rates),
        "plain_numpy_per_s": statistics.median(plain_rates),
        "distinct_architectures": float(len(set(architectures))),
        "first_prediction_s": first_s,
        "prediction_from_known_units_s": known_s,
    }
    some = architectures[: min(OFA_ARCHITECTURES, count)]
    ofa = once_for_all(space, some)
    if ofa is not None:
        ofa_rates = per_second(ofa, len(some), repeats)
        rows.append(_row("once-for-all: one latency, no split", ofa_rates))
        figures["once_for_all_per_s"] = statistics.median(ofa_rates)
    return figures, rows


def _row(name: str, rates: Sequence[float]) -> dict[str, Any]:
    return {"what": name, "per s (median)": statistics.median(rates), "least": min(rates), "most": max(rates)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--architectures", type=int, default=100_000, help="size of the population")
    parser.add_argument("--repeats", type=int, default=7, help="timings of each")
    parser.add_argument("--seed", type=int, default=0, help="of the population")
    arguments = parser.parse_args()
    figures, rows = run(arguments.architectures, arguments.repeats, arguments.seed)
    notes = "One core. `first_prediction_s` compiles every unit met, `prediction_from_known_units_s` reads them."
    if "once_for_all_per_s" not in figures:
        notes += " once-for-all is not installed: pip install --no-deps ofa"
    emit("predictor_throughput", figures, rows, as_json=arguments.json, notes=notes)


if __name__ == "__main__":
    main()
