"""Which tools cut a model in two so that the halves compute what it does? One table of cases and tools.

Every tool is asked for the part of the model up to a tensor and for the part behind it, as its documentation says, and
both are run in ONNX Runtime with its optimisations off. `equal`: the halves' answer is the model's bit for bit, the
second half being given what crosses and nothing that the first half did not say. Else what went wrong first: the tool
refuses, a half does not load, more is needed than crosses, or the answer differs.

    pip install onnx-graphsurgeon
    python benchmarks/cut_peers.py [--json]
"""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from report import emit
from splitkit.graphs.cut import cut
from splitkit.graphs.session import Session

SHAPE = (1, 4, 6, 6)
Extract = Callable[[onnx.ModelProto, list[str], list[str]], onnx.ModelProto]


def by_onnx(model: onnx.ModelProto, inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    """`onnx.utils.extract_model`, as it is by default."""
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch) / "model.onnx", Path(scratch) / "part.onnx"
        onnx.save(model, str(source))
        onnx.utils.extract_model(str(source), str(target), inputs, outputs)
        return onnx.load(str(target))


def by_onnx_ir(model: onnx.ModelProto, inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    """`onnx_ir.convenience.extract`, types inferred first."""
    import onnx_ir

    whole = onnx_ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(model))
    graph = onnx_ir.convenience.extract(whole.graph, inputs, outputs)
    functions = tuple(whole.functions.values())
    return onnx_ir.serde.serialize_model(onnx_ir.Model(graph, ir_version=model.ir_version, functions=functions))


def by_graphsurgeon(model: onnx.ModelProto, inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    """ONNX GraphSurgeon: new inputs and outputs of the graph, types inferred first, then `cleanup`."""
    with contextlib.redirect_stdout(sys.stderr):  # it logs there
        return _by_graphsurgeon(onnx.shape_inference.infer_shapes(model), inputs, outputs)


def _by_graphsurgeon(model: onnx.ModelProto, inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    import onnx_graphsurgeon

    graph = onnx_graphsurgeon.import_onnx(model)
    tensors = graph.tensors()
    graph.outputs = [tensors[name] for name in outputs]
    graph.inputs = [tensors[name] for name in inputs]
    for tensor in graph.inputs:
        tensor.inputs.clear()
    graph.cleanup().toposort()
    return onnx_graphsurgeon.export_onnx(graph)


PEERS: dict[str, Extract] = {
    "onnx.utils.extract_model": by_onnx,
    "onnx_ir": by_onnx_ir,
    "onnx-graphsurgeon": by_graphsurgeon,
}


def chain() -> onnx.ModelProto:
    """Convolution, relu, convolution."""
    return _model([_conv("x", "w0", "a"), _node("Relu", ["a"], "t"), _conv("t", "w1", "y")])


def skip() -> onnx.ModelProto:
    """A connection around the cut."""
    return _model([_conv("x", "w0", "a"), _conv("a", "w1", "t"), _node("Add", ["t", "a"], "y")])


def image_twice() -> onnx.ModelProto:
    """The part behind the cut reads the model's input as well."""
    return _model([_conv("x", "w0", "t"), _node("Add", ["t", "x"], "y")])


def shared_weights() -> onnx.ModelProto:
    """One initialiser on both sides."""
    return _model([_conv("x", "w0", "t"), _conv("t", "w0", "y")])


def shared_constant() -> onnx.ModelProto:
    """One Constant node on both sides."""
    value = numpy_helper.from_array(np.array(2, np.float32))
    constant = helper.make_node("Constant", [], ["two"], value=value)
    return _model([constant, _node("Mul", ["x", "two"], "t"), _node("Add", ["t", "two"], "y")])


def weight_as_input() -> onnx.ModelProto:
    """An initialiser that is listed as an input, as IR versions before 4 do."""
    model = chain()
    model.graph.input.append(helper.make_tensor_value_info("w1", TensorProto.FLOAT, (4, 4, 3, 3)))
    return model


def unsorted() -> onnx.ModelProto:
    """Nodes out of order, as some converters leave them."""
    model = chain()
    nodes = list(reversed(model.graph.node))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def body_reads_across() -> onnx.ModelProto:
    """The body of an If behind the cut reads a tensor ahead of it."""
    branches = {
        name: helper.make_graph([_node(kind, ["a"], name)], name, [], [_value(name)])
        for name, kind in (("yes", "Relu"), ("no", "Neg"))
    }
    flag = numpy_helper.from_array(np.array(True))
    return _model(
        [
            _conv("x", "w0", "a"),
            _node("Sigmoid", ["a"], "t"),
            helper.make_node("Constant", [], ["flag"], value=flag),
            helper.make_node("If", ["flag"], ["b"], then_branch=branches["yes"], else_branch=branches["no"]),
            _node("Add", ["t", "b"], "y"),
        ]
    )


def local_function() -> onnx.ModelProto:
    """A function of the model's own on either side."""
    model = _model(
        [
            helper.make_node("Twice", ["x"], ["t"], domain="own"),
            helper.make_node("Twice", ["t"], ["y"], domain="own"),
        ]
    )
    body = [helper.make_node("Add", ["v", "v"], ["w"])]
    model.functions.append(helper.make_function("own", "Twice", ["v"], ["w"], body, [helper.make_opsetid("", 17)]))
    model.opset_import.append(helper.make_opsetid("own", 1))
    return model


def early_output() -> onnx.ModelProto:
    """An output of the model ahead of the cut."""
    model = chain()
    model.graph.output.append(_value("a"))
    return model


def open_batch() -> onnx.ModelProto:
    """Extents that the model leaves open."""
    model = chain()
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return model


CASES: dict[str, Callable[[], onnx.ModelProto]] = {
    (make.__doc__ or "").rstrip("."): make
    for make in (
        chain, skip, image_twice, shared_weights, shared_constant, weight_as_input, unsorted, body_reads_across,
        local_function, early_output, open_batch,
    )
}  # fmt: skip


def ours(model: onnx.ModelProto, frame: Mapping[str, NDArray[Any]]) -> str:
    """splitkit's word on a cut at `t`."""
    halves = cut(model, ["t"])
    sent = Session(halves.head)(frame)
    found = sent | Session(halves.tail)({name: frame[name] for name in halves.passthrough} | sent)
    return _compared(model, frame, found)


def theirs(extract: Extract, model: onnx.ModelProto, frame: Mapping[str, NDArray[Any]]) -> str:
    """A peer's: the part up to `t` with all that it computes of the model's outputs, and the part from `t` on."""
    outputs = [value.name for value in model.graph.output]
    early = [name for name in outputs if name == "a"]
    try:
        head = extract(model, ["x"], ["t", *early])
        tail = extract(model, ["t"], [name for name in outputs if name not in early])
    except ImportError:
        return "not installed"
    except Exception as error:  # whatever a tool raises is what its user sees
        return f"refuses: {_line(error)}"
    try:
        first, second = Session(head), Session(tail)
    except Exception as error:
        return f"does not load: {_line(error)}"
    missing = {value.name for value in tail.graph.input} - {t.name for t in tail.graph.initializer} - {"t"}
    if missing:
        return f"needs more than crosses: {', '.join(sorted(missing))}"
    try:
        sent = first(frame)
        return _compared(model, frame, sent | second(sent))
    except Exception as error:
        return f"does not run: {_line(error)}"


def _compared(model: onnx.ModelProto, frame: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]]) -> str:
    exact = Session(model)(frame)
    return "equal" if all(found[name].tobytes() == value.tobytes() for name, value in exact.items()) else "differs"


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:90]


def main() -> None:
    """Try everything, print a table or one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    frame = {"x": np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)}
    rows = []
    for name, make in CASES.items():
        tried = {"splitkit": ours(make(), frame)}
        tried |= {peer: theirs(extract, make(), frame) for peer, extract in PEERS.items()}
        rows.append({"case": name, **tried})
    figures = {f"equal, {tool}": sum(row[tool] == "equal" for row in rows) for tool in ("splitkit", *PEERS)}
    emit("cut_peers", {"cases": len(rows), **figures}, rows, as_json=given.json)


def _node(kind: str, inputs: list[str], output: str) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output])


def _conv(tensor: str, weight: str, output: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [tensor, weight], [output], pads=[1] * 4)


def _value(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE)


def _model(nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    rng = np.random.default_rng(1)
    used = {name for node in nodes for name in node.input}
    weights = [
        numpy_helper.from_array((rng.standard_normal((4, 4, 3, 3)) / 6).astype(np.float32), name)
        for name in ("w0", "w1")
        if name in used
    ]
    graph = helper.make_graph(nodes, "case", [_value("x")], [_value("y")], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


if __name__ == "__main__":
    main()
