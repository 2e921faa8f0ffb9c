"""ONNX graphs to cut, and how to run a whole and its halves."""

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from splitkit.graphs.cut import Halves
from splitkit.graphs.shapes import tensor_dtype, tensor_shape

Arrays = Mapping[str, NDArray[np.generic]]
SHAPE = (1, 4, 6, 6)


def random_dag(rng: np.random.Generator, nodes: int, inputs: int = 2) -> onnx.ModelProto:
    """A graph of `nodes` operators, each reading one or two earlier tensors; every sink is an output."""
    tensors = [f"in{i}" for i in range(inputs)]
    made, weights, used = [], [], set()
    for i in range(nodes):
        name = f"t{i}"
        kind = str(rng.choice(["Conv", "Add", "Mul", "Tanh", "Sigmoid"]))
        reads = [str(t) for t in rng.choice(tensors[-5:], size=2 if kind in {"Add", "Mul"} else 1)]
        if kind == "Conv":
            weights.append(_weight(rng, f"w{i}", (4, 4, 3, 3)))
            made.append(helper.make_node("Conv", [*reads, f"w{i}"], [name], pads=[1] * 4))
        elif rng.random() < 0.2:
            weights.append(_weight(rng, f"c{i}", (1, 4, 1, 1)))
            reads = reads[:1]
            made.append(helper.make_node("Add", [*reads, f"c{i}"], [name]))
        else:
            made.append(helper.make_node(kind, reads, [name]))
        used.update(reads)
        tensors.append(name)
    sinks = [name for name in tensors[inputs:] if name not in used] or [tensors[-1]]
    graph = helper.make_graph(
        made, "dag", [_value(f"in{i}") for i in range(inputs)], [_value(name) for name in sinks], weights
    )
    return _model(graph)


def residual_net() -> onnx.ModelProto:
    """image -> conv -> [skip] conv -> relu -> conv -> add skip -> relu -> scores; two convolutions share `w1`."""
    rng = np.random.default_rng(1)
    nodes = [
        helper.make_node("Conv", ["image", "w0"], ["stem"], pads=[1] * 4),
        helper.make_node("Conv", ["stem", "w1"], ["first"], pads=[1] * 4),
        helper.make_node("Relu", ["first"], ["active"]),
        helper.make_node("Conv", ["active", "w1"], ["second"], pads=[1] * 4),
        helper.make_node("Add", ["second", "stem"], ["sum"]),
        helper.make_node("Constant", [], ["two"], value=numpy_helper.from_array(np.array(2, np.float32))),
        helper.make_node("Mul", ["sum", "two"], ["scores"]),
    ]
    weights = [_weight(rng, "w0", (4, 4, 3, 3)), _weight(rng, "w1", (4, 4, 3, 3))]
    return _model(helper.make_graph(nodes, "residual", [_value("image")], [_value("scores")], weights))


def random_inputs(model: onnx.ModelProto, rng: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """Arrays for every graph input, uint8 over its range and floats normal."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for value in model.graph.input:
        shape, dtype = tensor_shape(value), tensor_dtype(value)
        image = rng.integers(0, 256, shape).astype(np.uint8)
        arrays[value.name] = image if dtype == "uint8" else rng.standard_normal(shape).astype(dtype)
    return arrays


def run(model: onnx.ModelProto, inputs: Arrays, optimise: bool = False) -> dict[str, NDArray[np.generic]]:
    """Outputs of ONNX Runtime; without its optimisations, halves and whole are bit-equal."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    feeds = {value.name: inputs[value.name] for value in session.get_inputs()}
    return dict(zip(names, session.run(names, feeds), strict=True))


def run_halves(halves: Halves, inputs: Arrays) -> dict[str, NDArray[np.generic]]:
    """Outputs of the head, then of the tail fed with what crosses."""
    head = run(halves.head, inputs)
    crossing = {name: head[name] for name in halves.tensors} | {name: inputs[name] for name in halves.passthrough}
    return head | run(halves.tail, crossing)


def _model(graph: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _value(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE)


def _weight(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> onnx.TensorProto:
    scale = 1 / np.sqrt(np.prod(shape[1:]))
    return numpy_helper.from_array((rng.standard_normal(shape) * scale).astype(np.float32), name)
