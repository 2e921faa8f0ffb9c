"""The kernels of a network are those of its units, chained; a known unit needs no compiler."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from splitkit.errors import DeviceError
from splitkit.exporters import CompileTarget
from splitkit.graphs.render import render
from splitkit.latency.lowering import Lowering
from splitkit.latency.predictor import SystemPredictor
from splitkit.latency.store import LutStore
from splitkit.sides import SIDES
from splitkit.space import describe, load_space
from tests.latency.systems import analytical_system, drawn
from tests.space.strategies import FUSIONS, with_fusions, with_views


@pytest.mark.parametrize(
    ("name", "views", "masked", "count"),
    [("cifar", 1, False, 20), ("tiny", 1, False, 20), ("tiny", 3, False, 20), ("tiny", 3, True, 20)],
)
def test_kernels_of_units_are_those_of_the_whole_network(
    tmp_path: Path, name: str, views: int, masked: bool, count: int
) -> None:
    space = with_fusions(with_views(load_space(name), views, masked=masked), *FUSIONS)
    target = CompileTarget()
    lowering = Lowering(LutStore(tmp_path / "lut.db"), "tvm", target)
    graphs = 0
    for architecture in drawn(space, count):
        network = describe(space, architecture)
        for side in SIDES:
            operators = network.operators(side)
            if not operators:
                continue
            units = [placed.unit for placed in getattr(network, side)]
            lowered = lowering.kernels(units)
            chained = [kernel for unit in units for kernel in lowered[unit]]
            whole = lowering.exporter.lower(render(operators), target)  # type: ignore[attr-defined]
            assert Counter(k.key for k in chained) == Counter(k.key for k in whole)
            macs = sum(k.macs for k in chained)
            if architecture.fusion == "attention":  # its layer of one output is padded to whole blocks of inputs
                assert network.macs(side) <= macs <= 1.01 * network.macs(side)
            else:
                assert macs == network.macs(side)
            graphs += 1
    assert graphs >= count


def test_equal_keys_mean_equal_kernels(tmp_path: Path) -> None:
    space = load_space("tiny")
    lowering = Lowering(LutStore(tmp_path / "lut.db"), "tvm", CompileTarget())
    networks = [describe(space, architecture) for architecture in drawn(space, 20)]
    units = {placed.unit for network in networks for placed in (*network.sensor, *network.aggregator)}
    kernels = [kernel for found in lowering.kernels(units).values() for kernel in found]
    assert len({kernel.key for kernel in kernels}) == len(set(kernels))


def test_a_known_unit_comes_from_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = load_space("tiny")
    units = [placed.unit for placed in describe(space, space.largest()).aggregator]
    first = Lowering(LutStore(tmp_path / "lut.db"), "tvm", CompileTarget()).kernels(units)
    again = Lowering(LutStore(tmp_path / "lut.db"), "tvm", CompileTarget())
    monkeypatch.setattr(type(again.exporter), "lower", lambda *_: pytest.fail("compiled again"))
    assert again.kernels(units) == first
    assert set(again.recall(units)) == set(units)


def test_another_target_is_lowered_anew(tmp_path: Path) -> None:
    space = load_space("tiny")
    units = [placed.unit for placed in describe(space, space.largest()).aggregator]
    store = LutStore(tmp_path / "lut.db")
    Lowering(store, "tvm", CompileTarget()).kernels(units)
    assert Lowering(store, "tvm", CompileTarget(threads=2)).recall(units) == {}


def test_progress_counts_what_had_to_be_lowered(tmp_path: Path) -> None:
    space = load_space("tiny")
    units = [placed.unit for placed in describe(space, space.largest()).aggregator]
    lowering = Lowering(LutStore(tmp_path / "lut.db"), "tvm", CompileTarget())
    calls: list[tuple[int, int]] = []
    lowering.kernels(units, lambda done, total: calls.append((done, total)))
    distinct = len(set(units))
    assert calls[0] == (0, distinct)
    assert calls[-1] == (distinct, distinct)


def test_an_exporter_that_names_no_kernels_is_refused(tmp_path: Path) -> None:
    space = load_space("tiny")
    units = [placed.unit for placed in describe(space, space.smallest()).aggregator]
    with pytest.raises(DeviceError, match="onnxruntime: cannot say which kernels"):
        Lowering(LutStore(tmp_path / "lut.db"), "onnxruntime", CompileTarget()).kernels(units)


KNOWN_UNITS = """
import sys
from splitkit.latency.predictor import SystemPredictor
from splitkit.latency.store import LutStore
from splitkit.profiles import load_system
from splitkit.space import load_space
space = load_space("tiny")
predictor = SystemPredictor(space, load_system("hmd"), LutStore(sys.argv[1]))
predictor.predict_one(space.largest(3))
print(sorted({"torch", "tvm", "onnx"} & set(sys.modules)))
"""


def test_predicting_known_units_imports_no_framework(tmp_path: Path) -> None:
    space = load_space("tiny")
    with LutStore(tmp_path / "lut.db") as store:
        SystemPredictor(space, analytical_system(), store).predict_one(space.largest(3))
    assert "tvm" in sys.modules  # here the units had to be lowered
    command = [sys.executable, "-W", "ignore", "-c", KNOWN_UNITS, str(tmp_path / "lut.db")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "[]\n"
