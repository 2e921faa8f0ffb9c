"""ONNX Runtime as exporter: artifacts load again and compute what the model says."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from splitkit.errors import BundleError, ModelError
from splitkit.exporters import Artifact, CompileTarget, get_exporter
from splitkit.exporters.onnxruntime import OnnxRuntimeExporter

WEIGHT = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)


def conv_model(batch: int | str = 1) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        "conv",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 4, 8, 8])],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_a_loaded_artifact_computes_the_model(tmp_path: Path) -> None:
    from onnx.reference import ReferenceEvaluator

    model = conv_model()
    OnnxRuntimeExporter().compile(model, CompileTarget(), tmp_path)
    session = OnnxRuntimeExporter().load(Artifact.load(tmp_path))
    for seed in (1, 2):  # the second run must see the second input
        x = np.random.default_rng(seed).standard_normal((1, 3, 8, 8)).astype(np.float32)
        (expected,) = ReferenceEvaluator(model).run(None, {"x": x})
        got = session.run({"x": x})["y"]
        assert np.abs(expected).max() > 1
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_results_are_owned_by_the_caller(tmp_path: Path) -> None:
    exporter = OnnxRuntimeExporter()
    session = exporter.load(exporter.compile(conv_model(), CompileTarget(), tmp_path))
    first = session.run({"x": np.ones((1, 3, 8, 8), np.float32)})["y"]
    kept = first.copy()
    session.run({"x": np.zeros((1, 3, 8, 8), np.float32)})
    np.testing.assert_array_equal(first, kept)


def test_times_every_run(tmp_path: Path) -> None:
    exporter = OnnxRuntimeExporter()
    session = exporter.load(exporter.compile(conv_model(), CompileTarget(), tmp_path))
    times = session.time_ns(7)
    assert times.shape == (7,)
    assert (times > 0).all()


def test_refuses_a_dynamic_shape(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"'x' has a dynamic shape"):
        OnnxRuntimeExporter().compile(conv_model("n"), CompileTarget(), tmp_path)


def test_refuses_an_input_of_another_shape(tmp_path: Path) -> None:
    exporter = OnnxRuntimeExporter()
    session = exporter.load(exporter.compile(conv_model(), CompileTarget(), tmp_path))
    with pytest.raises(ModelError, match=r"'x' is float32\[1, 3, 9, 8\]"):
        session.run({"x": np.zeros((1, 3, 9, 8), np.float32)})


def test_a_truncated_model_is_one_clear_line(tmp_path: Path) -> None:
    exporter = OnnxRuntimeExporter()
    artifact = exporter.compile(conv_model(), CompileTarget(), tmp_path)
    (tmp_path / "model.ort").write_bytes((tmp_path / "model.ort").read_bytes()[:100])
    with pytest.raises(BundleError, match=r"model\.ort: cannot be loaded"):
        exporter.load(artifact)


def conv_relu_model() -> onnx.ModelProto:
    model = conv_model()
    model.graph.node[0].output[0] = "c"
    model.graph.node.append(helper.make_node("Relu", ["c"], ["y"]))
    return model


def test_the_operators_a_minimal_build_needs_are_listed(tmp_path: Path) -> None:
    exporter = OnnxRuntimeExporter()
    portable = exporter.compile(conv_relu_model(), CompileTarget({"kind": "llvm"}), tmp_path / "portable")
    lines = (portable.path / "required_operators.config").read_text().splitlines()
    assert lines == ["# Operators of model.ort, with their types", "com.microsoft;1;FusedConv"]
    here = exporter.compile(conv_relu_model(), CompileTarget(), tmp_path / "here")
    listed = (here.path / "required_operators.config").read_text()
    assert all(line.count(";") == 2 for line in listed.splitlines()[1:])
    assert str(tmp_path) not in listed


def test_files_for_other_processors_compute_the_same(tmp_path: Path) -> None:
    exporter = OnnxRuntimeExporter()
    x = np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32)
    results = []
    for target in (CompileTarget(), CompileTarget({"kind": "llvm", "mtriple": "aarch64-linux-gnu"})):
        artifact = exporter.compile(conv_relu_model(), target, tmp_path / target.spec["kind"])
        results.append(exporter.load(artifact).run({"x": x})["y"])
    assert results[0].max() > 1
    np.testing.assert_allclose(results[0], results[1], rtol=1e-4, atol=1e-5)


def test_an_operator_the_runtime_lacks_is_named(tmp_path: Path) -> None:
    model = conv_model()
    model.graph.node[0].op_type, model.graph.node[0].domain = "Transmogrify", "elsewhere"
    model.opset_import.append(helper.make_opsetid("elsewhere", 1))
    with pytest.raises(ModelError, match="Transmogrify"):
        OnnxRuntimeExporter().compile(model, CompileTarget(), tmp_path)


def test_is_registered_by_name() -> None:
    assert get_exporter("onnxruntime").name == "onnxruntime"
