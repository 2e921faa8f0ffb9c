"""Compiled graphs agree with ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from splitkit.exporters import Artifact, CompileTarget
from splitkit.exporters.tvm import TvmExporter
from tests.compiler.graphs import GRAPHS, Net, mobile, random_inputs


def reference(model: onnx.ModelProto, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def check(model: onnx.ModelProto, directory: Path, threads: int = 1, tolerance: float = 1e-4) -> Artifact:
    """Compile and compare on two inputs, so that nothing of the first run may linger in the second."""
    exporter = TvmExporter()
    artifact = exporter.compile(model, CompileTarget(threads=threads), directory)
    session = exporter.load(Artifact.load(directory))
    for seed in (0, 1):
        inputs = random_inputs(model, seed)
        got = session.run(inputs)
        for name, expected in reference(model, inputs).items():
            assert got[name].shape == expected.shape
            assert got[name].dtype == expected.dtype
            scale = np.abs(expected.astype(np.float64)).max()
            assert scale > 0.1, "a vanishing output proves nothing"
            assert expected.std() > 0, "a constant output proves nothing"
            error = np.abs(got[name].astype(np.float64) - expected)
            if expected.dtype == np.uint8:
                # A value on the edge between two steps may fall on either side.
                assert error.max() <= 1
                assert (error > 0).mean() < 0.01
            else:
                assert error.max() / scale < tolerance
    return artifact


@pytest.mark.parametrize("name", GRAPHS)
def test_agrees_with_onnx_runtime(name: str, tmp_path: Path) -> None:
    check(GRAPHS[name](), tmp_path)


def test_two_threads_agree(tmp_path: Path) -> None:
    check(mobile(size=96), tmp_path, threads=2)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_never_overtake_each_other(threads: int, tmp_path: Path) -> None:
    model, exporter = mobile(size=96), TvmExporter()
    session = exporter.load(exporter.compile(model, CompileTarget(threads=threads), tmp_path))
    inputs = random_inputs(model, 0)
    first = session.run(inputs)
    for _ in range(100):
        for name, value in session.run(inputs).items():
            np.testing.assert_array_equal(value, first[name])


def test_several_threads_need_no_cycle_counter(tmp_path: Path) -> None:
    """A target without a cycle counter calls kernels one by one: each forks of its own."""
    target = CompileTarget({"kind": "llvm", "mtriple": "aarch64-none-elf", "mcpu": "cortex-a72"}, threads=2)
    artifact = TvmExporter().compile(mobile(size=96), target, tmp_path)
    assert "run_one" in artifact.report["entries"]


def test_mobile_networks_need_no_fallback(tmp_path: Path) -> None:
    artifact = check(mobile(), tmp_path)
    assert artifact.report["fallback"] == {}
    # 24 convolutions and 1 linear layer and 3 pools: batch norm, activations, residual and excitation cost no kernel.
    assert {k.family for k in artifact.kernels} == {"dense", "depthwise", "pointwise", "linear", "pool"}


def test_fallbacks_are_counted_by_operator(tmp_path: Path) -> None:
    artifact = check(GRAPHS["attention"](), tmp_path)
    assert artifact.report["fallback"] == {"Transpose": 5, "ReduceMean": 1}
    assert sum(k.family == "fallback" for k in artifact.kernels) == 6


UNARY = ("Abs", "Ceil", "Erf", "Exp", "Floor", "HardSigmoid", "HardSwish", "LeakyRelu", "Neg", "Reciprocal", "Relu",
         "Round", "Sigmoid", "Tanh", "Gelu", "Identity")  # fmt: skip


def test_every_point_wise_operator_agrees(tmp_path: Path) -> None:
    """All of them in one graph, each on a length that is no multiple of a vector."""
    net = Net()
    x = net.input("x", 3, 37)
    outputs = [net.op(kind, x) for kind in UNARY]
    outputs += [net.op(kind, net.op("Abs", x)) for kind in ("Sqrt",)]
    outputs += [net.op("Log", net.op("Add", net.op("Abs", x), net.const(0.5)))]
    row, column = net.const(net.rng.uniform(1, 2, (1, 37))), net.const(net.rng.uniform(1, 2, (3, 1)))
    outputs += [
        net.op(kind, x, operand) for kind in ("Add", "Sub", "Mul", "Div", "Max", "Min") for operand in (row, column)
    ]
    outputs += [net.op("Pow", net.op("Abs", x), net.const(e)) for e in (2.0, 0.5, 1.7)]
    outputs += [net.op("Clip", x, net.const(-0.5)), net.op("Clip", x, "", net.const(0.25))]
    check(net.model(*outputs), tmp_path)


def test_quantise_and_dequantise_agree(tmp_path: Path) -> None:
    net = Net()
    x = net.conv(net.input("x", 1, 3, 9, 9), 3, 12)
    scales, zeros = net.const(net.rng.uniform(0.02, 0.05, 12)), net.const(net.rng.integers(90, 120, 12), "uint8")
    q = net.op("QuantizeLinear", x, scales, zeros, axis=1)
    back = net.op("DequantizeLinear", q, scales, zeros, axis=1)
    half = net.op("Cast", net.op("Cast", back, to=onnx.TensorProto.FLOAT16), to=onnx.TensorProto.FLOAT)
    check(net.model(q, net.act(net.conv(half, 12, 8), "Relu")), tmp_path, tolerance=2e-3)


def test_products_and_row_functions_agree_for_awkward_sizes(tmp_path: Path) -> None:
    net = Net()
    outputs = []
    for i, (a, b) in enumerate(
        [((2, 3, 7, 5), (2, 3, 5, 33)), ((4, 9, 20), (20, 1)), ((1, 17), (3, 17, 40)), ((5, 16, 16), (5, 16, 16))]
    ):
        outputs.append(net.op("MatMul", net.input(f"a{i}", *a), net.input(f"b{i}", *b)))
    for i, shape in enumerate([(3, 1, 5), (7, 50), (2, 64), (33,)]):
        x = net.op("Mul", net.input(f"x{i}", *shape), net.const(3.0))
        outputs.append(net.op("Softmax", x, axis=-1))
        scale, bias = (net.const(net.rng.uniform(0.5, 1.5, shape[-1])) for _ in range(2))
        if len(shape) > 1:
            outputs.append(net.op("LayerNormalization", x, scale, bias, axis=-1))
            outputs.append(net.op("LayerNormalization", x, scale, axis=-1, epsilon=1e-3))
    artifact = check(net.model(*outputs), tmp_path)
    assert artifact.report["fallback"] == {}


def test_half_precision_edges_agree(tmp_path: Path) -> None:
    net = Net()
    x = net.op("Cast", net.input("x", 1, 16, 6, 6, dtype="float16"), to=onnx.TensorProto.FLOAT)
    y = net.conv(x, 16, 8)
    check(net.model(net.op("Cast", y, to=onnx.TensorProto.FLOAT16)), tmp_path, tolerance=2e-3)


def test_torch_export_agrees(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.SiLU(),
        nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.ReLU6(), nn.Conv2d(16, 24, 1), nn.GELU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10), nn.Hardswish(),
    ).eval()  # fmt: skip
    for parameter in module.parameters():
        parameter.data.mul_(3)
    program = torch.onnx.export(module, (torch.randn(1, 3, 20, 20),), dynamo=True, verbose=False)
    artifact = check(program.model_proto, tmp_path)
    assert artifact.report["fallback"] == {}
