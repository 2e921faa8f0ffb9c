"""Any graph is predicted by the same table: a half of a space, or a model somebody else made."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from splitkit.errors import ModelError
from splitkit.graphs.graph import OnnxGraph, RenderedGraph
from splitkit.latency import GraphPredictor, LutStore, SystemPredictor
from splitkit.space import describe, load_space
from tests.latency.systems import analytical_system


def strangers_model() -> onnx.ModelProto:
    weight = np.random.default_rng(0).standard_normal((8, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 16, 16))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 8, 16, 16))
    graph = helper.make_graph(nodes, "stranger", [x], [y], [numpy_helper.from_array(weight, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_a_half_takes_as_long_as_the_system_predictor_says(tmp_path: Path) -> None:
    space, system = load_space("tiny"), analytical_system()
    architecture = space.largest(3)
    network = describe(space, architecture)
    with LutStore(tmp_path / "lut.db") as store:
        expected = SystemPredictor(space, system, store).predict_one(architecture)
        for side, us in (("sensor", expected.sensor_us[0]), ("aggregator", expected.aggregator_us[0])):
            graph = RenderedGraph(tuple(network.operators(side)))
            found = GraphPredictor(system.device(side), store).predict(graph)  # type: ignore[arg-type]
            assert found.latency_us == pytest.approx(us, rel=1e-6)
            assert len(found.kernel_us) == len(found.kernels)
            assert found.measured_fraction == 1.0


def test_a_strangers_model_is_predicted_from_its_file(tmp_path: Path) -> None:
    onnx.save(strangers_model(), tmp_path / "stranger.onnx")
    with LutStore(tmp_path / "lut.db") as store:
        found = GraphPredictor(analytical_system().aggregator, store).predict(
            OnnxGraph.load(tmp_path / "stranger.onnx")
        )
    assert [k.family for k in found.kernels][-2:] == ["dense", "layout"]
    assert found.latency_us > sum(found.kernel_us) * 0.99 > 0


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"broken\.onnx"):
        OnnxGraph.load(tmp_path / "broken.onnx")
