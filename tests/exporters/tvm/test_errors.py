"""Mistakes are one clear line that names the node, the tensor or the file."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from splitkit.errors import BundleError, ModelError, ToolchainError
from splitkit.exporters import Artifact, CompileTarget
from splitkit.exporters.tvm import TvmExporter, link
from tests.compiler.graphs import Net


def test_a_dynamic_input_is_named(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
    )
    with pytest.raises(ModelError, match="'x' has a dynamic shape"):
        TvmExporter().compile(helper.make_model(graph), CompileTarget(), tmp_path)


def test_a_shape_that_depends_on_data_names_the_node() -> None:
    net = Net()
    x = net.input("x", 4)
    found = net.op("NonZero", x)
    with pytest.raises(ModelError, match=r"node 'nonzero0' \(NonZero\)"):
        TvmExporter().lower(net.model(net.op("Cast", found, to=TensorProto.FLOAT)), CompileTarget())


def test_an_unsupported_operator_names_node_and_operator() -> None:
    net = Net()
    x = net.input("x", 1, 4, 4)
    y = net.op("Det", x)
    with pytest.raises(ModelError, match=r"'det0' \(Det\)"):
        TvmExporter().lower(net.model(y), CompileTarget())


def test_an_unknown_target_is_refused() -> None:
    net = Net()
    model = net.model(net.op("Relu", net.input("x", 4)))
    with pytest.raises(ModelError, match="target"):
        TvmExporter().lower(model, CompileTarget({"kind": "no such thing"}))


def test_an_input_of_another_shape_or_type_is_refused(tmp_path: Path) -> None:
    net = Net()
    exporter = TvmExporter()
    session = exporter.load(
        exporter.compile(net.model(net.op("Relu", net.input("x", 2, 5))), CompileTarget(), tmp_path)
    )
    with pytest.raises(ModelError, match=r"float32\[2, 6\].*must be float32\[2, 5\]"):
        session.run({"x": np.zeros((2, 6), np.float32)})
    with pytest.raises(ModelError, match="float64"):
        session.run({"x": np.zeros((2, 5))})
    with pytest.raises(ModelError, match="'x' is missing"):
        session.run({})


def test_a_damaged_library_is_named(tmp_path: Path) -> None:
    net = Net()
    exporter = TvmExporter()
    artifact = exporter.compile(net.model(net.op("Relu", net.input("x", 2, 5))), CompileTarget(), tmp_path)
    (tmp_path / artifact.report["library"]).write_bytes(b"not a library")
    with pytest.raises(BundleError, match=str(tmp_path)):
        exporter.load(artifact)


def test_truncated_weights_are_named(tmp_path: Path) -> None:
    net = Net()
    exporter = TvmExporter()
    exporter.compile(net.model(net.conv(net.input("x", 1, 3, 8, 8), 3, 8)), CompileTarget(), tmp_path)
    data = (tmp_path / "weights.bin").read_bytes()
    (tmp_path / "weights.bin").write_bytes(data[: len(data) // 2])
    with pytest.raises(BundleError, match=r"weights\.bin"):
        exporter.load(Artifact.load(tmp_path))


def test_a_missing_linker_names_both_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link.shutil, "which", lambda _: None)
    monkeypatch.setattr(link, "find_spec", lambda _: None)
    with pytest.raises(ToolchainError, match=r"cc.*ziglang"):
        link.linker(None)


def test_without_a_system_compiler_zig_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link.shutil, "which", lambda _: None)
    monkeypatch.setattr(link, "find_spec", lambda _: "installed")
    assert link.linker(None)[1:4] == ["-m", "ziglang", "cc"]
