"""Bilinear resizing against ONNX Runtime."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from splitkit.compiler.frontend import machine_of
from splitkit.compiler.kernels.resize import ResizeSpec, fractions
from splitkit.compiler.library import aligned, compiled, timed
from splitkit.exporters import CompileTarget
from tests.compiler.test_agreement import check, reference

COORDINATES = ("half_pixel", "align_corners", "asymmetric")


def resize(spec: ResizeSpec, channels: int, *, affine: bool = False) -> onnx.ModelProto:
    """A graph of one Resize, with a cast before it where the input is bytes."""
    sizes = numpy_helper.from_array(np.array([1, channels, *spec.out_size], np.int64), "sizes")
    constants = [sizes, *(numpy_helper.from_array(np.float32(v), n) for n, v in (("scale", 0.02), ("shift", -1.5)))]
    nodes = [helper.make_node("Cast", ["x"], ["cast"], "cast", to=TensorProto.FLOAT)] if spec.dtype == "uint8" else []
    source = "cast" if nodes else "x"
    attributes = {"mode": "linear", "coordinate_transformation_mode": spec.coordinates}
    nodes.append(helper.make_node("Resize", [source, "", "", "sizes"], ["resized"], "resize", **attributes))
    if affine:
        nodes.append(helper.make_node("Mul", ["resized", "scale"], ["scaled"], "mul"))
        nodes.append(helper.make_node("Add", ["scaled", "shift"], ["y"], "add"))
    else:
        nodes[-1].output[0] = "y"
    dtype = TensorProto.UINT8 if spec.dtype == "uint8" else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "resize",
        [helper.make_tensor_value_info("x", dtype, [1, channels, *spec.size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, channels, *spec.out_size])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize("lanes", [1, 4, 8, 16])
def test_any_size_agrees_at_any_vector_length(lanes: int) -> None:
    rng = np.random.default_rng(lanes)
    host = machine_of(CompileTarget({"kind": "host"}))
    specs = []
    for _ in range(30):
        height, width, out_height, out_width = (int(n) for n in rng.integers(1, 70, 4))
        coordinates, dtype = str(rng.choice(COORDINATES)), str(rng.choice(["float32", "uint8"]))
        specs.append(ResizeSpec(2, (height, width), (out_height, out_width), coordinates, dtype))
    machine = replace(host, lanes=min(lanes, host.lanes), threads=2)
    module = compiled([spec.emit(machine).func for spec in specs], machine)
    for i, spec in enumerate(specs):
        image = rng.integers(0, 256, (1, 2, *spec.size)).astype(spec.dtype)
        arrays = [np.ascontiguousarray(image), *(fractions(spec, axis) for axis in (0, 1))]
        arrays += [aligned(2 * int(np.prod(spec.out_size))), aligned(spec.emit(machine).workspace_bytes // 4)]
        timed(module, i, arrays, 1)
        expected = reference(resize(spec, 2), {"x": image})["y"]
        np.testing.assert_allclose(arrays[3].reshape(expected.shape), expected, rtol=1e-5, atol=2e-3, err_msg=f"{spec}")


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("threads", [1, 2])
def test_resize_takes_the_cast_and_the_normalisation_along(coordinates: str, threads: int, tmp_path: Path) -> None:
    spec = ResizeSpec(3, (96, 90), (64, 72), coordinates, "uint8")
    artifact = check(resize(spec, 3, affine=True), tmp_path, threads)
    assert [kernel.family for kernel in artifact.kernels] == ["resize"]
    assert artifact.report["fallback"] == {}


def test_other_resizes_are_products_with_constants(tmp_path: Path) -> None:
    model = resize(ResizeSpec(3, (16, 16), (32, 32)), 3)
    next(a for a in model.graph.node[0].attribute if a.name == "mode").s = b"cubic"
    artifact = check(model, tmp_path)
    assert sum(kernel.family == "linear" for kernel in artifact.kernels) == 2
    assert "Resize" not in artifact.report["fallback"]
