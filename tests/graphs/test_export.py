import numpy as np
import onnx
import pytest
import torch
from torch import nn

from splitkit.errors import ModelError
from splitkit.exporters import CompileTarget, KernelExporter, get_exporter
from splitkit.graphs.cut import cut
from splitkit.graphs.export import export_half, export_module, export_whole
from splitkit.graphs.render import render
from splitkit.graphs.shapes import tensor_dtype, tensor_shape
from splitkit.sides import SIDES
from splitkit.space import describe
from splitkit.space.search_space import Fusion
from tests.graphs.cuttable import run
from tests.networks import digit_images, random_architectures, space_of, subnetwork, with_link
from tests.space.strategies import with_fusions


@pytest.mark.parametrize(
    ("space_name", "views", "dtype", "fusion", "masked"),
    [
        ("tiny", 1, "uint8", "concat", False),
        ("cifar", 2, "float16", "concat", False),
        ("tiny", 3, "float32", "sum", False),
        ("tiny", 3, "uint8", "mean", False),
        ("tiny", 2, "float32", "max", False),
        ("tiny", 3, "float16", "attention", False),
        ("tiny", 2, "uint8", "concat", True),
        ("tiny", 3, "float16", "sum", True),
        ("cifar", 2, "uint8", "mean", True),
        ("tiny", 3, "uint8", "max", True),
        ("tiny", 4, "float32", "attention", True),
    ],
)
def test_trained_networks_are_what_was_predicted(
    space_name: str, views: int, dtype: str, fusion: Fusion, masked: bool
) -> None:
    """Operators, shapes and compiled kernels are those of the description, from which latency is predicted."""
    space = with_fusions(space_of(space_name, views, masked=masked), fusion)
    architecture = with_link(space, space.canonical(random_architectures(space, 1, 3)[0]), 2, dtype)
    network, described = subnetwork(space, architecture), describe(space, architecture)
    exporter = get_exporter("tvm")
    assert isinstance(exporter, KernelExporter)
    for side in SIDES:
        model, expected = export_half(network, side), render(described.operators(side))
        assert model is not None
        assert [node.op_type for node in model.graph.node] == [node.op_type for node in expected.graph.node]
        for read in (tensor_shape, tensor_dtype):
            ends, expected_ends = ([read(v) for v in (*m.graph.input, *m.graph.output)] for m in (model, expected))
            assert ends == expected_ends
        exported, predicted = (exporter.lower(m, CompileTarget()) for m in (model, expected))
        assert [kernel.label for kernel in exported] == [kernel.label for kernel in predicted]
        # The key of an element-wise kernel holds its constants: the link's scale is known only after training.
        keys = [[k.key for k in kernels if k.family != "elementwise"] for kernels in (exported, predicted)]
        assert keys[0] == keys[1]


def test_tensors_are_named_after_slots_and_nothing_of_the_machine_is_kept() -> None:
    space = space_of()
    model = export_half(subnetwork(space, with_link(space, space.largest(), 3, "uint8")), "sensor")
    assert model is not None
    names = [node.output[0] for node in model.graph.node]
    assert "p0.stride.expand" in names
    assert "p0.stride.expand.hard_swish" in names
    assert names[-1] == "link"
    assert all(name.split(".")[0] in {"stem", "p0", "link"} for name in names)
    assert {"p0.stride.expand.weight", "p0.stride.expand.bias"} <= {t.name for t in model.graph.initializer}
    assert b".py" not in model.SerializeToString()


def test_whole_cut_at_the_link_gives_the_halves() -> None:
    space = space_of()
    network = subnetwork(space, with_link(space, space.smallest(), 2, "uint8"))
    halves = cut(export_whole(network), ["link"], strict=True)
    image = digit_images()[0]
    sensor, aggregator = export_half(network, "sensor"), export_half(network, "aggregator")
    assert sensor is not None
    assert aggregator is not None
    link = run(sensor, {"image": image})["link"]
    np.testing.assert_array_equal(run(halves.head, {"images": image})["link"], link)
    scores = run(aggregator, {"link": link})["scores"]
    np.testing.assert_array_equal(run(halves.tail, {"link": link})["scores"], scores)
    with torch.no_grad():
        expected = network(torch.from_numpy(image[None])).numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_degenerate_sides_are_absent() -> None:
    space = space_of()
    smallest = space.smallest()
    raw = subnetwork(space, with_link(space, smallest, 0, "float32"))
    assert export_half(raw, "sensor") is None
    everything = export_half(raw, "aggregator")
    assert everything is not None
    assert [value.name for value in everything.graph.input] == ["images"]
    scored = subnetwork(space, with_link(space, smallest, smallest.units, "float32"))
    assert export_half(scored, "aggregator") is None
    everything = export_half(scored, "sensor")
    assert everything is not None
    assert [value.name for value in everything.graph.output] == ["scores"]


def test_scores_of_several_sensors_are_averaged_on_the_aggregator() -> None:
    space = space_of(views=2)
    smallest = space.smallest()
    network = subnetwork(space, with_link(space, smallest, smallest.units, "float32"))
    sensor, aggregator = export_half(network, "sensor"), export_half(network, "aggregator")
    assert sensor is not None
    assert aggregator is not None
    frame = digit_images(2)[3]
    each = np.concatenate([run(sensor, {"image": view[None]})["link"] for view in frame])
    np.testing.assert_allclose(run(aggregator, {"link": each})["scores"], each.mean(0, keepdims=True), rtol=1e-5)


def test_global_average_pool_is_recognised() -> None:
    model = export_module(nn.AdaptiveAvgPool2d(1), {"x": torch.rand(1, 3, 5, 5)}, "y")
    assert [node.op_type for node in model.graph.node] == ["GlobalAveragePool"]
    onnx.checker.check_model(model, full_check=True)


def test_what_torch_cannot_export_is_a_model_error() -> None:
    class Branching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ModelError, match="torch cannot export Branching"):
        export_module(Branching(), {"x": torch.rand(2)}, "y")
