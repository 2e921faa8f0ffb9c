"""Every cut that is listed of models that are not from splitkit's spaces separates them: halves equal the whole."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.outsider_networks import OUTSIDERS, outsider
from splitkit.graphs.cut import cut
from splitkit.latency.store import LutStore
from splitkit.partition.costs import network_and_costs
from splitkit.partition.cuts import list_cuts
from splitkit.partition.examine import Examiner
from splitkit.partition.inputs import noise
from splitkit.partition.partition import named_tensors
from splitkit.partition.proof import prove
from tests.latency.systems import analytical_system


@pytest.mark.parametrize("most", [8, pytest.param(10_000, marks=pytest.mark.slow)], ids=["some", "all"])
@pytest.mark.parametrize("name", OUTSIDERS)
def test_halves_of_listed_cuts_equal_the_model_bit_for_bit(name: str, most: int, tmp_path: Path) -> None:
    model, system = outsider(name, small=True), analytical_system()
    with LutStore(tmp_path / "lut.db") as store:
        examiner = Examiner.of(model, system, store)
        network, costs = network_and_costs(examiner, named_tensors(model))
    source = examiner.source
    cuts = [found for found in list_cuts(network) if found.placement == "split"]
    assert len(cuts) >= 5
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
