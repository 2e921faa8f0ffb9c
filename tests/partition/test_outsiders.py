"""Every cut that is listed of models that are not from splitkit's spaces separates them: halves equal the whole."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.outsider_networks import OUTSIDERS, outsider
from benchmarks.stranger_networks import STRANGERS, stranger
from splitkit.errors import ModelError
from splitkit.graphs.cut import cut
from splitkit.graphs.edges import Edges
from splitkit.graphs.subject import OneView
from splitkit.latency.store import LutStore
from splitkit.partition.costs import network_and_costs
from splitkit.partition.cuts import list_cuts
from splitkit.partition.examine import Examiner
from splitkit.partition.inputs import noise
from splitkit.partition.measuring import named_tensors
from splitkit.partition.partition import partition
from splitkit.partition.proof import prove
from tests.latency.systems import analytical_system

UNCOMPILED = ("lstm", "gru")
"""The compiler has no schedule for them."""


def model_of(name: str) -> onnx.ModelProto:
    return outsider(name, small=True) if name in OUTSIDERS else stranger(name)


@pytest.mark.parametrize("most", [8, pytest.param(10_000, marks=pytest.mark.slow)], ids=["some", "all"])
@pytest.mark.parametrize("name", [*OUTSIDERS, *(name for name in STRANGERS if name not in UNCOMPILED)])
def test_halves_of_listed_cuts_equal_the_model_bit_for_bit(name: str, most: int, tmp_path: Path) -> None:
    model, system = model_of(name), analytical_system()
    with LutStore(tmp_path / "lut.db") as store:
        examiner = Examiner.of(OneView(model, Edges.of(model)), system, store)
        network, costs = network_and_costs(examiner, named_tensors(model))
    [source] = examiner.subject.edges.captured
    cuts = [found for found in list_cuts(network) if found.placement == "split"]
    assert len(cuts) >= 3
    first, second = ({source.name: noise(source, 1, seed)[0]} for seed in (0, 1))
    for i in np.unique(np.linspace(0, len(cuts) - 1, min(most, len(cuts))).astype(int)):
        found = cuts[i]
        computed = [tensor for tensor in found.crossing if tensor != source.name]
        halves = cut(model, computed)
        assert {*halves.tensors, *halves.passthrough} == set(found.crossing)
        for half in (halves.head, halves.tail):
            onnx.checker.check_model(half)
        proof = prove(model, halves, first, second)
        assert proof.identical, (found.crossing, proof.worst)
        assert proof.silent == ()
    assert min(map(costs.total_us, cuts)) > 0


@pytest.mark.parametrize("name", UNCOMPILED)
def test_what_cannot_be_compiled_is_named_and_can_be_cut_all_the_same(name: str, tmp_path: Path) -> None:
    model = model_of(name)
    with LutStore(tmp_path / "lut.db") as store, pytest.raises(ModelError, match=name.upper()):
        partition(model, analytical_system(), store)
    first, second = ({"image": np.random.default_rng(seed).standard_normal((1, 9, 6), "f4")} for seed in (0, 1))
    separated = 0
    for tensor in [output for node in model.graph.node for output in node.output if output]:
        try:
            halves = cut(model, [tensor])
        except ModelError:  # constant, or needed by nothing
            continue
        separated += 1
        assert prove(model, halves, first, second).identical
    assert separated >= 5
