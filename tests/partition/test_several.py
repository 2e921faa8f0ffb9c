"""Models of several inputs and outputs: what crosses, what it weighs, who computes what."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from splitkit.errors import ModelError
from splitkit.graphs.cut import cut
from splitkit.graphs.edges import Edges, inputs_of
from splitkit.graphs.narrow import LinkDtype
from splitkit.graphs.order import needed_names
from splitkit.graphs.session import Arrays, Session
from splitkit.graphs.subject import OneView
from splitkit.latency.store import LutStore
from splitkit.partition import Option, partition, partition_chain
from splitkit.partition.costs import network_and_costs
from splitkit.partition.cuts import Cut, cuts_of, list_cuts
from splitkit.partition.examine import Examiner
from splitkit.partition.inputs import noise
from splitkit.partition.link import narrow_link
from splitkit.partition.measuring import named_tensors
from splitkit.partition.mincut import least_cost
from splitkit.partition.proof import prove
from tests.graphs.cuttable import random_dag
from tests.latency.systems import analytical_system
from tests.partition.several import stereo, supervised
from tests.partition.test_chain import with_hub
from tests.partition.test_partition import system

STEREO = pytest.mark.parametrize("own", [(), ("pose",)], ids=["all captured", "pose is the aggregator's"])


def frame(model: onnx.ModelProto, seed: int) -> Arrays:
    return {tensor.name: noise(tensor, 1, seed)[0] for tensor in inputs_of(model)}


def cuts_and_examiner(
    model: onnx.ModelProto, own: tuple[str, ...], dtype: LinkDtype | None = None
) -> tuple[list[Cut], Examiner]:
    """Listed cuts and the best of all, splits and wholes."""
    with LutStore(":memory:") as store:
        examiner = Examiner.of(OneView(model, Edges.of(model, own)), analytical_system(), store, dtype)
        network, costs = network_and_costs(examiner, named_tensors(model))
    best = least_cost(network, costs.pieces["sensor"], costs.pieces["aggregator"], costs.us_per_byte)
    return [*list_cuts(network, 64), *cuts_of(network, best[None])], examiner


def check(model: onnx.ModelProto, found: Cut, examiner: Examiner, own: tuple[str, ...]) -> None:
    """Halves of one cut: nothing else crosses than is listed, it weighs what is listed, they are the model."""
    halves = examiner.halves(found.crossing)
    assert set(halves.crossing) == set(found.crossing)
    assert not {*found.crossing} & {*own}
    inputs, sent = frame(model, 0), dict[str, np.typing.NDArray[np.generic]]()
    if "sensor" in halves.models:
        assert not {value.name for value in halves.models["sensor"].graph.input} & {*own}
        sent = dict(Session(halves.models["sensor"])(inputs))
    passed = {name: inputs[name] for name in found.crossing if name in examiner.subject.edges.captured_names}
    assert sum(array.nbytes for array in (sent | passed).values()) == found.payload_bytes
    result, at_hand = dict(sent), sent | passed | {name: inputs[name] for name in own}
    if "aggregator" in halves.models:
        result |= Session(halves.models["aggregator"])(at_hand)
    for name, expected in Session(model)(inputs).items():
        if examiner.link_dtype is None:
            np.testing.assert_array_equal(result[name], expected)
        assert result[name].dtype == expected.dtype


@STEREO
def test_every_listed_cut_of_two_images_and_a_pose_is_the_model_bit_for_bit(own: tuple[str, ...]) -> None:
    cuts, examiner = cuts_and_examiner(stereo(), own)
    assert len(cuts) > 10
    for found in cuts:
        check(stereo(), found, examiner, own)
        if found.placement == "split":
            computed = [name for name in found.crossing if name not in examiner.subject.edges.captured_names]
            halves = cut(stereo(), computed, aggregator_inputs=own)
            assert set(halves.crossing) == set(found.crossing)
            proof = prove(stereo(), halves, frame(stereo(), 0), frame(stereo(), 1))
            assert proof.identical
            assert set(proof.silent) <= {"label"}  # one number of ten: two frames may have the same


@given(seed=st.integers(0, 10**6), nodes=st.integers(3, 12), own=st.sampled_from([(), ("in1",)]))
@settings(max_examples=15, deadline=None)
def test_cuts_of_random_graphs_send_what_they_say(seed: int, nodes: int, own: tuple[str, ...]) -> None:
    model = random_dag(np.random.default_rng(seed), nodes, inputs=2)
    assume("in0" in needed_names(model.graph))
    cuts, examiner = cuts_and_examiner(model, own)
    for found in cuts:
        check(model, found, examiner, own)


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_outputs_and_inputs_cross_as_they_are_whatever_the_link(dtype: LinkDtype) -> None:
    for model, own in ((stereo(), ("pose",)), (supervised(), ())):
        cuts, examiner = cuts_and_examiner(model, own, dtype)
        for found in cuts:
            check(model, found, examiner, own)
    cuts, _ = cuts_and_examiner(stereo(), ("pose",), dtype)
    assert {frozenset(found.crossing): found.payload_bytes for found in cuts}[
        frozenset(("pooled", "early"))
    ] == 8 * np.dtype(dtype).itemsize + 4 * 5


def test_an_output_that_is_read_further_on_is_sent_once() -> None:
    cuts, _ = cuts_and_examiner(supervised(), (), "uint8")
    assert {found.crossing: found.payload_bytes for found in cuts}["feature",] == 4 * 8 * 8 * 8
    with pytest.raises(ModelError, match="nothing float32 crosses"):
        narrow_link(supervised(), ["feature"], "float16", [])
    behind = narrow_link(supervised(), ["pooled"], "float16", [])
    assert set(behind.sent) == {"pooled"}
    halves = cut(behind.model, behind.at(["pooled"]))
    assert (halves.tensors, halves.results) == (("pooled_float16",), ("feature",))


def options(own: tuple[str, ...], tmp_path: Path) -> dict[tuple[str, ...], Option]:
    with LutStore(tmp_path / "lut.db") as store:
        found = partition(stereo(), system(1e6), store, listed=40, aggregator_inputs=own)
    assert found.aggregator_inputs == own
    assert [option.total_us for option in found.options] == sorted(option.total_us for option in found.options)
    return {option.crossing: option for option in found.options}


def test_what_depends_on_the_aggregators_own_is_never_the_sensors(tmp_path: Path) -> None:
    of_its_own = {"pose", "told", "joined", "logits", "label"}
    free, bound = options((), tmp_path), options(("pose",), tmp_path)
    assert any(of_its_own & {*crossing} for crossing in free)
    assert not any(of_its_own & {*crossing} for crossing in bound)
    assert bound["left", "right"].placement == "aggregator"
    assert {option.placement for option in bound.values()} == {"split", "aggregator"}
    assert bound["left", "right"].payload_bytes == 2 * 4 * 3 * 16 * 16
    assert bound["flat", "early"].payload_bytes == 4 * (8 + 5)


def test_an_output_that_no_link_carries_is_the_aggregators(tmp_path: Path) -> None:
    """`label` is int64."""
    found = options((), tmp_path)
    assert {option.placement for option in found.values()} == {"split", "aggregator"}
    assert not any("label" in crossing for crossing in found)
    assert any("logits" in crossing for crossing in found)


def test_a_sensor_holds_what_it_passes_on(tmp_path: Path) -> None:
    """The right image is not read on the sensor: it is sent as it came, from its memory."""
    found = options(("pose",), tmp_path)
    left, right = (4 * 3 * 16 * 16,) * 2
    near = 4 * 8 * 8 * 8
    assert found["near", "right"].sensor_peak_bytes >= left + right + near
    assert found["left", "right"].sensor_peak_bytes == left + right


def test_work_is_neither_lost_nor_done_twice(tmp_path: Path) -> None:
    found = options(("pose",), tmp_path).values()
    assert len({option.sensor_macs + option.aggregator_macs for option in found}) == 1


def test_a_chain_leaves_the_last_one_what_is_its_own(tmp_path: Path) -> None:
    """Even where that is by far the slowest."""
    fast = with_hub(1e12, 1e-3)
    with LutStore(tmp_path / "lut.db") as store:
        free, bound = (partition_chain(stereo(), fast, store, aggregator_inputs=own) for own in ((), ("pose",)))
    assert [stage.sent for stage in bound.stages[:2]].count(()) == 0
    assert not any({"told", "joined", "logits", "pose"} & {*stage.sent} for stage in bound.stages)
    assert bound.stages[-1].pieces > free.stages[-1].pieces
    assert sum(stage.pieces for stage in bound.stages) == sum(stage.pieces for stage in free.stages)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (("prompt",), "no input is called 'prompt' .there are 'left', 'right', 'pose'"),
        (("left", "right", "pose"), "no output depends on what the sensor captures .name fewer"),
    ],
)
def test_inputs_that_cannot_be_are_named(own: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with LutStore(tmp_path / "lut.db") as store, pytest.raises(ModelError, match=message):
        partition(stereo(), system(1e6), store, aggregator_inputs=own)


def test_tokens_are_for_the_aggregator() -> None:
    model = stereo()
    model.graph.input[2].type.tensor_type.elem_type = onnx.TensorProto.INT64
    with pytest.raises(ModelError, match=r"'pose' is int64 \[1, 4\], a link carries.*--aggregator-input pose"):
        Edges.of(model)
    assert [tensor.dtype for tensor in Edges.of(model, ["pose"]).own] == ["int64"]


@pytest.mark.parametrize(
    ("at", "own", "message"),
    [
        (("told",), ("pose",), "'told' depends on 'pose', the aggregator's own"),
        (("pose",), ("pose",), "'pose' is the aggregator's own: it does not cross"),
        (("near",), ("prompt",), "no input is called 'prompt'"),
    ],
)
def test_a_cut_behind_the_aggregators_own_is_refused(at: tuple[str, ...], own: tuple[str, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        cut(stereo(), at, aggregator_inputs=own)


def test_halves_say_what_crosses_and_what_does_not() -> None:
    halves = cut(stereo(), ["flat"], aggregator_inputs=["pose"])
    assert (halves.tensors, halves.results, halves.passthrough) == (("flat", "near"), (), ())
    halves = cut(stereo(), ["flat", "early"], aggregator_inputs=["pose"])
    assert (halves.tensors, halves.results, halves.passthrough, halves.own) == (("flat",), ("early",), (), ("pose",))
    assert [value.name for value in halves.tail.graph.input] == ["flat", "pose"]
    assert [value.name for value in halves.head.graph.input] == ["left", "right"]
