"""Models of several views: one branch for every sensor, and what of all views comes together."""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from splitkit.bundle import Bundle, load_bundle
from splitkit.errors import ModelError
from splitkit.graphs.edges import Edges
from splitkit.graphs.narrow import LinkDtype
from splitkit.graphs.placement import Placement
from splitkit.graphs.session import Session
from splitkit.graphs.subject import Subject
from splitkit.latency.store import LutStore
from splitkit.partition import Option, Partition, partition
from splitkit.partition.costs import network_and_costs
from splitkit.partition.cuts import list_cuts
from splitkit.partition.examine import Examiner
from splitkit.partition.export import export_option
from splitkit.partition.inputs import noisy
from splitkit.partition.measuring import named_tensors
from splitkit.partition.proof import prove_views
from splitkit.partition.views import subject_of
from splitkit.profiles import System
from splitkit.runtime.measure import measure_bundle
from tests.bundle.bundles import fast_system
from tests.latency.systems import analytical_system
from tests.partition.test_partition import system
from tests.partition.viewed import around, batched, posed, viewed


def subject(model: onnx.ModelProto, *join: str, own: tuple[str, ...] = (), views: int = 3) -> Subject:
    return subject_of(model, Edges.of(model, own), views, join)


MODELS = {
    "one tensor": (viewed(), ("seen0",), ()),
    "by the name of another view": (viewed(), ("seen2",), ()),
    "two tensors": (around(), ("seen1",), ()),
    "a pose of the aggregator's": (posed(), ("seen0",), ("pose",)),
    "all in one input": (batched(), ("seen",), ()),
}
EACH = pytest.mark.parametrize(("model", "join", "own"), MODELS.values(), ids=MODELS.keys())


@EACH
@pytest.mark.parametrize("dtype", [None, "uint8"])
def test_every_listed_cut_is_the_model_bit_for_bit(
    model: onnx.ModelProto, join: tuple[str, ...], own: tuple[str, ...], dtype: LinkDtype | None
) -> None:
    """One sensor's half, run once a view, and what crosses of all views one after the other."""
    whole = subject(model, *join, own=own)
    with LutStore(":memory:") as store:
        examiner = Examiner.of(whole, analytical_system(), store, dtype)
        network, _ = network_and_costs(examiner, named_tensors(whole.branch))
    cuts = list_cuts(network)
    assert {found.placement for found in cuts} == {"aggregator", "split", "sensor"}
    edges = Edges.of(model, own)
    [images], [theirs] = noisy(edges.captured, 1), noisy(edges.own, 1)
    for found in cuts:
        lighter, sent = whole, dict[str, str]()
        if dtype is not None:
            lighter, sent = whole.lightened(found.crossing, dtype)
        halves = lighter.placed([sent.get(name, name) for name in found.crossing])
        assert len(halves.models) == 1 + (found.placement != "aggregator")
        crossing = crossed(lighter, halves.models.get("sensor"), images)
        assert set(crossing) == set(halves.crossing)
        assert sum(array.nbytes for array in crossing.values()) == 3 * found.payload_bytes
        aggregator = halves.models["aggregator"]
        inputs = [value.name for value in aggregator.graph.input]
        assert len(inputs) == len(crossing) + len(own)
        received = dict(zip(inputs, (crossing[name] for name in halves.crossing), strict=False))
        result = Session(aggregator)({**received, **theirs})
        expected = Session(lighter.whole)({**images, **theirs})
        assert set(result) == set(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(result[name], array)


def crossed(
    whole: Subject, sensor: onnx.ModelProto | None, images: dict[str, np.typing.NDArray[np.generic]]
) -> dict[str, np.typing.NDArray[np.generic]]:
    """What all sensors send, (views, ...) each."""
    stack = np.concatenate([*images.values()])
    if sensor is None:
        return {whole.edges.captured_names[0]: stack}
    [image] = [value.name for value in sensor.graph.input]
    sent = [Session(sensor)({image: view}) for view in np.split(stack, 3)]
    return {name: np.concatenate([each[name] for each in sent]) for name in sent[0]}


def found(chosen: System, tmp_path: Path, model: onnx.ModelProto | None = None, views: int = 3) -> Partition:
    with LutStore(tmp_path / "lut.db") as store:
        return partition(
            viewed(views) if model is None else model, chosen, store, listed=20, views=views, join=["seen0"]
        )


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        ("mean", "tensor 'seen' of a view alone is another than among 3 (views are mixed ahead of the join"),
        ("softmax", "tensor 'seen' of a view alone is another than among 3 (views are mixed ahead of the join"),
    ],
)
def test_views_of_one_input_that_meet_earlier_are_refused(mix: str, message: str) -> None:
    with pytest.raises(ModelError) as raised:
        subject(batched(mix=mix), "seen")
    assert message in str(raised.value)
    assert subject(batched(mix=mix), "first").edges.result_names == ("first",)
    with pytest.raises(ModelError, match=r"'fused' is \[1, 384\] of 3 views, \[1, 128\] of one"):
        subject(batched(), "fused")


@pytest.mark.parametrize("shared", [False, True])
def test_payload_and_link_are_those_of_all_sensors(shared: bool, tmp_path: Path) -> None:
    chosen = system(1e6)
    chosen = chosen.model_copy(update={"link": chosen.link.model_copy(update={"shared": shared, "pj_per_byte": 3.0})})
    result = found(chosen, tmp_path)
    assert (result.views, result.join) == (3, ("seen0",))
    options = {option.crossing: option for option in result.options}
    assert options.keys() == {("view0",), ("feature0",), ("seen0",)}
    one = {("view0",): 3 * 16 * 16, ("feature0",): 8 * 8 * 8, ("seen0",): 8 * 4 * 4}
    for crossing, option in options.items():
        assert option.payload_bytes == 4 * one[crossing]
        us = chosen.link.overhead_us + option.payload_bytes
        assert option.link_us == pytest.approx(us * (3 if shared else 1))


def test_a_sensor_computes_its_view_and_the_aggregator_the_others(tmp_path: Path) -> None:
    options = {option.crossing: option for option in found(system(1e6), tmp_path).options}
    all_macs = options["view0",].aggregator_macs
    assert {option.placement for option in options.values()} == {"split", "aggregator"}
    for option in options.values():
        assert 3 * option.sensor_macs + option.aggregator_macs == all_macs
    assert options["seen0",].sensor_macs == 8 * 3 * 9 * 64 + 8 * 8 * 9 * 16


def test_cuts_are_ranked_by_what_is_done_for_all_views() -> None:
    """By sums over one view's pieces, which are the whole's time where the sensor computes nothing; elsewhere they
    leave out what changes at the halves' edges."""
    whole = subject(viewed(), "seen0")
    with LutStore(":memory:") as store:
        examiner = Examiner.of(whole, system(1e6), store)
        network, costs = network_and_costs(examiner, named_tensors(whole.branch))
    cuts = list_cuts(network)
    sums, full = [[each(found) for found in cuts] for each in (costs.total_us, lambda c: examiner.predict(c).total_us)]
    assert sums[0] == pytest.approx(full[0])
    for total, exact in zip(sums[1:], full[1:], strict=True):
        assert 0.8 * exact < total <= exact
    assert np.argsort(sums).tolist() == np.argsort(full).tolist()


def test_energy_is_of_all_sensors(tmp_path: Path) -> None:
    chosen = system(1e6)
    priced = {
        side: chosen.device(side).model_copy(update={"pj_per_mac": 1.0, "pj_per_byte": 0.0})  # type: ignore[arg-type]
        for side in ("sensor", "aggregator")
    }
    link = chosen.link.model_copy(update={"pj_per_byte": 5.0})
    for option in found(chosen.model_copy(update=priced | {"link": link}), tmp_path).options:
        picojoules = 3 * option.sensor_macs + option.aggregator_macs + 3 * 5 * option.payload_bytes
        assert option.energy_uj == pytest.approx(picojoules / 1e6)


def renamed(change: str) -> onnx.ModelProto:
    """The model with one view made different."""
    model = viewed()
    if change == "weights":
        copy = onnx.TensorProto()
        copy.CopyFrom(next(tensor for tensor in model.graph.initializer if tensor.name == "w1"))
        values = numpy_helper.to_array(copy).copy()
        values[0, 0, 0, 0] += 1e-6
        model.graph.initializer.append(numpy_helper.from_array(values, "w1b"))
    for node in model.graph.node:
        if change == "weights" and node.output[0] == "second1":
            node.input[1] = "w1b"
        if change == "attributes" and node.output[0] == "second1":
            node.attribute[-1].ints[:] = [1, 1]
        if change == "operator" and node.output[0] == "feature1":
            node.op_type = "Sigmoid"
        if change == "less" and node.output[0] == "fused":
            node.input[1] = "second1"
    if change == "less":
        kept = [node for node in model.graph.node if node.output[0] != "seen1"]
        del model.graph.node[:]
        model.graph.node.extend(kept)
    return model


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "weights",
            "views 'view0' and 'view1' differ at the Conv that writes 'second0': weights 'w1' and 'w1b' are not",
        ),
        ("attributes", "differ at the Conv that writes 'second0': attributes of 'second1' are others"),
        ("operator", "differ at the Relu that writes 'feature0': there it is the Sigmoid that writes 'feature1'"),
        ("less", "differ at the Relu that writes 'seen0'"),
    ],
)
def test_the_first_difference_between_views_is_named(change: str, message: str) -> None:
    with pytest.raises(ModelError) as raised:
        subject(renamed(change), "seen0")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_operands_left_out_are_seen() -> None:
    """The lowest value of one view's `Clip` is another's highest."""
    model = viewed()
    model.graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), "one"))
    for node in model.graph.node:
        if node.output[0].startswith("feature"):
            operands = ["", "one"] if node.output[0] == "feature1" else ["one"]
            node.CopyFrom(helper.make_node("Clip", [node.input[0], *operands], node.output))
    with pytest.raises(ModelError, match="differ at the Clip that writes 'feature0'"):
        subject(model, "seen0")


def test_views_with_weights_of_their_own_that_are_equal_are_alike() -> None:
    """As exporters write them that know of no sharing."""
    model = viewed()
    for i, node in enumerate(model.graph.node):
        if node.op_type == "Conv" and node.output[0] != "deep":
            [weight] = [tensor for tensor in model.graph.initializer if tensor.name == node.input[1]]
            copy = numpy_helper.from_array(numpy_helper.to_array(weight), f"{node.input[1]}_{i}")
            model.graph.initializer.append(copy)
            node.input[1] = copy.name
    assert subject(model, "seen0").named("feature0") == ("feature0", "feature1", "feature2")


@pytest.mark.parametrize(
    ("join", "views", "message"),
    [
        (
            ("fused",),
            3,
            "tensor 'fused' depends on 'view0', 'view1', 'view2' (--join names",
        ),
        (("nowhere",), 3, "no tensor is called 'nowhere' in graph 'viewed'"),
        (("w1",), 3, "tensor 'w1' depends on no input"),
        (("seen0",), 2, "sensors capture 3 inputs ('view0', 'view1', 'view2'), --views says 2"),
        ((), 3, "3 views join somewhere (--join TENSOR names where)"),
    ],
)
def test_joins_that_cannot_be_are_named(join: tuple[str, ...], views: int, message: str) -> None:
    with pytest.raises(ModelError) as raised:
        subject(viewed(), *join, views=views)
    assert message in str(raised.value)


def test_what_is_of_one_view_alone_is_refused() -> None:
    model = viewed()
    model.graph.output.append(helper.make_tensor_value_info("feature1", onnx.TensorProto.FLOAT, (1, 8, 8, 8)))
    with pytest.raises(ModelError, match="output 'feature1' is computed ahead of the join"):
        subject(model, "seen0")
    model = viewed()
    model.graph.input[1].type.tensor_type.shape.dim[2].dim_value = 32
    with pytest.raises(ModelError, match=r"'view1' is float32 \[1, 3, 32, 16\], 'view0' is .* .views are alike"):
        subject(model, "seen0")
    model = viewed()
    model.graph.node.append(helper.make_node("GlobalAveragePool", ["view1"], ["colour"]))
    model.graph.output.append(helper.make_tensor_value_info("colour", onnx.TensorProto.FLOAT, (1, 3, 1, 1)))
    with pytest.raises(ModelError, match="input 'view1' is read behind the join"):
        subject(model, "seen0")


def test_as_many_views_as_a_constant_has_rows() -> None:
    """Its shape begins with their number too, and stays."""
    whole = subject(batched(8), "seen", views=8)
    halves, frames = whole.placed(["seen"]), noisy(Edges.of(batched(8)).captured, 2)
    assert prove_views(whole, halves, *frames).identical


def test_what_goes_around_the_join_joins_it() -> None:
    assert set(subject(around(), "seen0").edges.result_names) == {"seen0", "feature0"}


def test_a_proof_sees_views_that_are_mixed_up() -> None:
    """And one that is computed otherwise."""
    for model, join in ((viewed(), "seen0"), (batched(), "seen")):
        whole = subject(model, join)
        halves, frames = whole.placed([join]), noisy(Edges.of(model).captured, 2)
        assert prove_views(whole, halves, *frames).identical
        order = {"view0": "view1", "view1": "view0"}
        swapped = {name: frames[0][order.get(name, name)] for name in frames[0]}
        if join == "seen":
            swapped = {"views": frames[0]["views"][[1, 0, 2]]}
        assert not np.array_equal(Session(model)(swapped)["logits"], Session(model)(frames[0])["logits"])
        broken = onnx.ModelProto()
        broken.CopyFrom(halves.models["sensor"])
        for tensor in broken.graph.initializer:
            if tensor.name == "w0":
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.01), "w0"))
        proof = prove_views(whole, Placement(halves.models | {"sensor": broken}, halves.crossing), *frames)
        assert not proof.identical
        assert proof.worst > 1e-4


def bundle(
    model: onnx.ModelProto, join: str, crossing: tuple[str, ...], tmp_path: Path, dtype: LinkDtype | None = None
) -> Bundle:
    """Of one of the options, with the time of a formula."""
    path, whole = tmp_path / "model.onnx", subject(model, join)
    onnx.save(model, str(path))
    with LutStore(tmp_path / "lut.db") as store:
        result = partition(model, system(1e6), store, listed=20, views=3, join=[join], link_dtype=dtype)
    [option] = [option for option in result.options if set(option.crossing) == {*crossing}]
    frames = noisy(Edges.of(model).captured)
    images = np.stack([np.concatenate([*frame.values()]) for frame in frames])
    made = export_option(
        whole, path, option, fast_system(exporter="tvm"), tmp_path / "bundle",
        inputs=images, link_dtype=dtype, calibration=frames,
    )  # fmt: skip
    check(load_bundle(made.path), option, model)
    return made


def check(made: Bundle, option: Option, model: onnx.ModelProto) -> None:
    """It has three views, sends what the table said, and its sample's scores are the model's."""
    assert made.manifest.views == 3
    assert sum(link.payload_bytes for link in made.manifest.links) == option.payload_bytes
    images, scores = made.sample()
    for views, expected in zip(images, scores, strict=True):
        names = [value.name for value in model.graph.input]
        given = dict(zip(names, np.split(views, len(names)), strict=True))
        if all(link.dtype == "float32" for link in made.manifest.links):
            np.testing.assert_allclose(Session(model)(given)["logits"][0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "join", "crossing", "dtype"),
    [
        (viewed(), "seen0", "feature0", None),
        (viewed(), "seen0", "view0", None),
        (viewed(), "seen0", "seen0", "uint8"),
        (batched(), "seen", "feature", None),
        (batched(), "seen", "views", None),
        (batched(), "seen", "seen", "uint8"),
    ],
)
def test_a_bundle_runs_with_a_sensor_a_view(
    model: onnx.ModelProto, join: str, crossing: str, dtype: LinkDtype | None, tmp_path: Path
) -> None:
    made = bundle(model, join, (crossing,), tmp_path, dtype)
    images, scores = made.sample()
    sensor, aggregator = made.open("sensor"), made.open("aggregator")
    assert aggregator is not None
    running = measure_bundle(made, 8)
    assert running.scores_error < 1e-3
    assert running.top1_agreement == 1
    for views, expected in zip(images, scores, strict=True):
        received = views if sensor is None else np.concatenate([sensor(view[None]) for view in views])
        np.testing.assert_allclose(aggregator(received)[0], expected, rtol=1e-3, atol=1e-5)


def test_several_tensors_of_each_view_are_run_as_the_readme_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    made = bundle(around(), "seen0", ("feature0", "seen0"), tmp_path)
    assert {link.name for link in made.manifest.links} == {"feature0", "seen0"}
    monkeypatch.chdir(made.path)
    blocks = re.findall(r"```python\n(.*?)```", (made.path / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
