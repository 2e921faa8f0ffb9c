"""Operators without a schedule, through TVM's importer, legalisation and fusion: correct, not fast, and counted."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper, numpy_helper

from splitkit.compiler.kernels.fallback import FallbackSpec
from splitkit.compiler.limits import unsupported
from splitkit.compiler.quiet import quiet
from splitkit.compiler.repairs import repaired
from splitkit.errors import ModelError
from splitkit.graphs.reading.graph import Array, Graph, Node, Type, to_proto

if TYPE_CHECKING:
    import onnx
    import tvm


@dataclass(frozen=True)
class FallbackStep:
    """One kernel; operands are tensor names or constants, the output is the last."""

    spec: FallbackSpec
    operands: tuple[str | Array, ...]


@dataclass(frozen=True)
class Lowered:
    """Kernels of a run of operators.

    `inner` are the types of the tensors between them; `copies` are outputs that need no kernel, with the tensor that
    each of them equals.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    steps: tuple[FallbackStep, ...]
    inner: Mapping[str, Type]
    copies: Mapping[str, str]


def lower_fallback(graph: Graph, nodes: Sequence[Node]) -> Lowered:
    """Lower consecutive nodes of a graph to fused functions of the compiler's own making.

    Raises:
        ModelError: the compiler does not know one of the operators; names them.
    """
    for node in nodes:
        if why := unsupported(node, graph):
            raise ModelError(f"node {node.name!r} ({node.op}): {why}")
    try:
        return _lowered(graph, nodes)
    except _LoweringError as error:
        if len(nodes) > 1:
            for node in nodes:  # whose fault it is
                lower_fallback(graph, [node])
        names = ", ".join(f"{n.name!r} ({n.op})" for n in nodes)
        raise ModelError(f"node {names}: no schedule and no default lowering: {error}") from error


class _LoweringError(Exception):
    """What the importer, or what became of its work, says of itself in one line."""


def _lowered(graph: Graph, nodes: Sequence[Node]) -> Lowered:
    inputs, outputs = _edges(graph, nodes)
    model = _submodel(graph, nodes, inputs, outputs)
    with quiet():
        problem = ""
        try:
            lowered, written = _Reader(_imported(model), inputs, outputs).read()
        except Exception as error:  # the importer and the passes raise whatever they meet
            problem = _last_line(error)  # the error ends here, and what it holds is taken down quietly
    if problem:
        raise _LoweringError(problem)
    for name, type_ in written.items():
        meant = graph.types[name]
        if type_ != meant:
            raise _LoweringError(
                f"it would write {type_.dtype}{list(type_.shape)}, and {meant.dtype}{list(meant.shape)} is meant"
            )
    return lowered


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].removeprefix("InternalError: ") if lines else type(error).__name__


def _imported(model: "onnx.ModelProto") -> "tvm.IRModule":
    from tvm import relax
    from tvm.relax.frontend.onnx import from_onnx, onnx_frontend

    onnx_frontend.print = lambda *_: None  # it prints on the standard output what it then raises
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _pipeline(relax)(from_onnx(model, keep_params_in_input=False))


def _pipeline(relax: Any) -> Any:
    import tvm

    return tvm.transform.Sequential(
        [
            relax.transform.DecomposeOpsForInference(),
            relax.transform.LegalizeOps(),
            relax.transform.AnnotateTIROpPattern(),
            relax.transform.FoldConstant(),
            relax.transform.FuseOps(),
            relax.transform.FuseTIR(),
            relax.transform.DeadCodeElimination(),
        ]
    )


def _edges(graph: Graph, nodes: Sequence[Node]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Activations the nodes read from outside, and tensors of theirs that are read outside."""
    inside = {o for n in nodes for o in n.outputs}
    read = dict.fromkeys(i for n in nodes for i in n.inputs if i and i not in inside and i not in graph.constants)
    ids = {id(n) for n in nodes}
    wanted = {i for n in graph.nodes if id(n) not in ids for i in n.inputs} | set(graph.outputs)
    return tuple(read), tuple(o for n in nodes for o in n.outputs if o and o in wanted)


def _submodel(graph: Graph, nodes: Sequence[Node], inputs: Sequence[str], outputs: Sequence[str]) -> "onnx.ModelProto":
    """The nodes as a model. Tensors are renamed by place: names end up in functions, whose text is the kernel's key."""
    names = {"": ""}

    def place(name: str) -> str:
        return names.setdefault(name, f"t{len(names)}")

    def info(name: str) -> "onnx.ValueInfoProto":
        type_ = graph.types[name]
        dtype = helper.np_dtype_to_tensor_dtype(np.dtype(type_.dtype))
        return helper.make_tensor_value_info(place(name), dtype, type_.shape)

    protos = [to_proto(part) for n in nodes for part in repaired(n, graph)]
    for i, proto in enumerate(protos):
        proto.name = f"n{i}"
        proto.input[:] = [place(name) for name in proto.input]
        proto.output[:] = [place(name) for name in proto.output]
    used = dict.fromkeys(i for n in nodes for i in n.inputs if i in graph.constants)
    body = helper.make_graph(
        protos,
        "fallback",
        [info(n) for n in inputs],
        [info(n) for n in outputs],
        [numpy_helper.from_array(graph.constants[n], place(n)) for n in used],
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", graph.opset)])


class _Reader:
    """Reads the calls off the `main` function of a fused Relax module."""

    def __init__(self, module: "tvm.IRModule", inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        self.module, self.inputs, self.outputs = module, inputs, outputs
        self.values: dict[Any, str | Array | list[str]] = {}
        self.inner: dict[str, Type] = {}
        self.steps: list[FallbackStep] = []

    def read(self) -> tuple[Lowered, dict[str, Type]]:
        """The calls, and what they make of each output."""
        from tvm import relax

        main = self.module["main"]
        self.values = dict(zip(main.params, self.inputs, strict=True))
        self.inner = {name: _type(param.ty) for param, name in zip(main.params, self.inputs, strict=True)}
        for block in main.body.blocks:
            for binding in block.bindings:
                self.values[binding.var] = self._binding(binding)
        result = main.body.body
        value = self.values[result] if isinstance(result, relax.Var) else self._argument(result)
        names = value if isinstance(value, list) else [value]
        if any(isinstance(name, np.ndarray) for name in names):
            raise _LoweringError("what it makes does not depend on its inputs")
        written = {output: self.inner[name] for name, output in zip(names, self.outputs, strict=True)}
        renamed: dict[str, str] = {}  # a returned tensor takes the graph's name
        copies: dict[str, str] = {}
        for name, output in zip(names, self.outputs, strict=True):
            if name in self.inputs or name in renamed:
                copies[output] = renamed.get(name, name)
            else:
                renamed[name] = output
        steps = tuple(
            FallbackStep(s.spec, tuple(renamed.get(o, o) if isinstance(o, str) else o for o in s.operands))
            for s in self.steps
        )
        inner = {n: t for n, t in self.inner.items() if n not in renamed and n not in self.inputs}
        return Lowered(self.inputs, self.outputs, steps, inner, copies), written

    def _binding(self, binding: Any) -> Any:
        from tvm import relax

        value = binding.value
        if isinstance(value, relax.Call) and getattr(value.op, "name", "") == "relax.call_tir":
            return self._call(binding.var, value)
        return self._argument(value)

    def _argument(self, value: Any) -> Any:
        from tvm import ir, relax

        if isinstance(value, ir.GenericConst):
            return np.asarray(value.value.numpy())
        if isinstance(value, relax.Tuple):
            return [self._argument(f) for f in value.fields]
        if isinstance(value, relax.TupleGetItem):
            return self._argument(value.tuple_value)[value.index]
        if value in self.values:
            return self.values[value]
        op = getattr(getattr(value, "op", None), "name", type(value).__name__)
        raise _LoweringError(f"TVM leaves {op} to its own runtime")

    def _call(self, var: Any, call: Any) -> str | list[str]:
        from tvm import ir

        gvar, arguments = call.args[0], call.args[1]
        func = self.module[gvar]
        operands = [self._argument(a) for a in arguments.fields]
        infos = call.ty_args[0]
        several = hasattr(infos, "fields")
        outs = []
        for i, info in enumerate(infos.fields if several else [infos]):
            name = f"%{var.name}.{i}" if several else f"%{var.name}"
            self.inner[name] = _type(info)
            outs.append(name)
        kinds = [
            (tuple(o.shape), str(o.dtype)) if isinstance(o, np.ndarray) else (self.inner[o].shape, self.inner[o].dtype)
            for o in operands
        ]
        kinds += [(self.inner[n].shape, self.inner[n].dtype) for n in outs]
        func = func.without_attr("global_symbol") if func.attrs and "global_symbol" in func.attrs else func
        spec = FallbackSpec(
            str(gvar.name_hint), ir.save_json(func), tuple(k[0] for k in kinds), tuple(k[1] for k in kinds)
        )
        self.steps.append(FallbackStep(spec, (*operands, *outs)))
        return outs if several else outs[0]


def _type(info: Any) -> Type:
    shape = getattr(info.shape, "values", info.shape)
    if shape is None or not all(hasattr(extent, "value") for extent in shape):
        raise _LoweringError("the size of what it makes depends on values")
    return Type(tuple(int(extent) for extent in shape), str(info.dtype))
