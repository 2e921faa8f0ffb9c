"""Cut an ONNX graph on a set of tensors into a head and a tail.

Everything that a cut must not lose is carried over: graph inputs and outputs on the side that owns them, initialisers
where they are used, types and shapes, functions, metadata. `onnx.utils.extract_model` loses graph inputs and fails on
initialisers and on cuts through several tensors; this does not use it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import onnx

from splitkit.errors import ModelError
from splitkit.graphs.edges import require_inputs
from splitkit.graphs.order import in_order, needed
from splitkit.graphs.shapes import has_axes, value_infos


@dataclass(frozen=True)
class Halves:
    """The two sides of a cut.

    Attributes:
        head: computes `tensors` (its first outputs, in this order), and any output of the whole that it owns.
        tail: takes `tensors`, then `passthrough` and `own`, and computes the remaining outputs of the whole.
        tensors: what crosses from the head to the tail.
        passthrough: inputs of the whole that the tail needs as they are; they cross as well, uncomputed.
        results: outputs of the whole that the head computes and the tail does not need: they cross to whoever wants
            them.
        own: inputs of the whole that the tail's side has by itself: they do not cross.
    """

    head: onnx.ModelProto
    tail: onnx.ModelProto
    tensors: tuple[str, ...]
    passthrough: tuple[str, ...]
    results: tuple[str, ...] = ()
    own: tuple[str, ...] = ()

    @property
    def crossing(self) -> tuple[str, ...]:
        """All that crosses: what the head gives, in its order, then inputs as they are."""
        return (*self.tensors, *self.results, *self.passthrough)


def cut(
    model: onnx.ModelProto, tensors: Sequence[str], *, strict: bool = False, aggregator_inputs: Sequence[str] = ()
) -> Halves:
    """Cut `model` at `tensors`: the head is all that they depend on, the tail is everything else.

    Whatever else crosses, such as a skip connection around the cut, joins the set, in graph order; with `strict` that
    is an error instead. Parts that depend on no graph input (constants, shapes of static tensors) never cross: each
    side gets its own copy. Outputs of the whole that the head computes cross too. The input model is not changed.

    Args:
        tensors: where to cut.
        strict: whether nothing else may be needed by the tail.
        aggregator_inputs: inputs that the tail's side has by itself.

    Raises:
        ModelError: a tensor is unknown, constant, needed by no output or of unknown type, or depends on an input of
            the aggregator's; there is no such input; one side would be empty; nothing crosses; or, with `strict`,
            another tensor crosses as well.
    """
    require_inputs(model, aggregator_inputs)
    graph = _Graph(model)
    wanted = tuple(dict.fromkeys(tensors))
    if not wanted:
        raise ModelError("a cut needs at least one tensor")
    for name in wanted:
        graph.check_can_be_cut(name)
        graph.check_is_the_sensors(name, aggregator_inputs)
    head = graph.ancestors(wanted) - graph.constant
    tail = graph.live - head - graph.constant
    crossing = graph.crossing(head, tail)
    if not head:
        raise ModelError(f"a cut at {_names(wanted)} leaves the head empty", "cut behind at least one operator")
    if not tail:
        raise ModelError(f"a cut at {_names(wanted)} leaves the tail empty", "cut ahead of at least one operator")
    computed = [name for name in crossing if name in graph.producer]
    own = tuple(name for name in crossing if name in aggregator_inputs)
    passthrough = tuple(name for name in crossing if name not in graph.producer and name not in own)
    extra = [name for name in (*computed, *passthrough) if name not in wanted]
    if strict and extra:
        raise ModelError(
            f"{_names(wanted)} is not a cut: {_names(extra)} crosses as well", f"add {_names(extra)} to the set"
        )
    links = (*(name for name in wanted if name in computed), *(name for name in computed if name not in wanted))
    outputs = [value.name for value in model.graph.output]
    results = tuple(name for name in outputs if graph.producer.get(name) in head and name not in links)
    tail_outputs = [name for name in outputs if graph.producer.get(name) not in head]
    if not (links or passthrough or results):
        raise ModelError(f"nothing crosses a cut at {_names(wanted)}", "its two sides are separate networks")
    return Halves(
        head=graph.part(head, graph.inputs_of(head), [*links, *results], "head"),
        tail=graph.part(tail, [*links, *passthrough, *own], tail_outputs, "tail"),
        tensors=links,
        passthrough=passthrough,
        results=results,
        own=own,
    )


def computing(model: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """The part of a model that computes these tensors, which are its outputs in this order.

    Raises:
        ModelError: a tensor is unknown, constant, needed by no output or of unknown type.
    """
    graph = _Graph(model)
    for name in tensors:
        graph.check_can_be_cut(name)
    nodes = graph.ancestors(tensors) - graph.constant
    return graph.part(nodes, graph.inputs_of(nodes), list(tensors), "head")


class _Graph:
    """A model's nodes by index, with who produces and who needs what."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes = in_order(model.graph.node)
        self.needs = [tuple(dict.fromkeys(needed(node))) for node in self.nodes]
        self.producer = {name: i for i, node in enumerate(self.nodes) for name in node.output if name}
        self.initialisers = {tensor.name for tensor in model.graph.initializer}
        self.initialisers |= {tensor.values.name for tensor in model.graph.sparse_initializer}
        # An initialiser may also be listed as a graph input, whose default it then is: it is a constant here.
        self.inputs = [value.name for value in model.graph.input if value.name not in self.initialisers]
        self.values = value_infos(model)
        self.live = self.ancestors(value.name for value in model.graph.output)
        self.constant = self._constant_nodes()

    def ancestors(self, tensors: Iterable[str]) -> frozenset[int]:
        """Indices of every node that `tensors` depend on."""
        seen: set[int] = set()
        stack = [self.producer[name] for name in tensors if name in self.producer]
        while stack:
            i = stack.pop()
            if i not in seen:
                seen.add(i)
                stack += [self.producer[name] for name in self.needs[i] if name in self.producer]
        return frozenset(seen)

    def check_can_be_cut(self, name: str) -> None:
        """Raise unless `name` is a tensor that depends on the graph's inputs."""
        if name in self.initialisers or self.producer.get(name) in self.constant:
            raise ModelError(f"tensor {name!r} is constant: nothing would cross", "each side keeps its own constants")
        if name not in self.producer and name not in self.inputs:
            near = [known for known in (*self.producer, *self.inputs) if name.lower() in known.lower()][:3]
            hint = f"did you mean {_names(near)}?" if near else "name a tensor of the graph, not an operator"
            raise ModelError(f"no tensor is called {name!r} in graph {self.model.graph.name!r}", hint)
        if name in self.producer and self.producer[name] not in self.live:
            raise ModelError(f"no output of the graph needs tensor {name!r}")

    def check_is_the_sensors(self, name: str, aggregator_inputs: Sequence[str]) -> None:
        """Raise if `name` depends on an input that the sensor does not have."""
        if name in aggregator_inputs:
            raise ModelError(f"input {name!r} is the aggregator's own: it does not cross", "cut at what crosses")
        needed = {need for i in self.ancestors([name]) for need in self.needs[i]}
        for own in aggregator_inputs:
            if own in needed:
                raise ModelError(f"tensor {name!r} depends on {own!r}, the aggregator's own", "cut ahead of that")

    def crossing(self, head: frozenset[int], tail: frozenset[int]) -> list[str]:
        """What the tail needs and does not compute: computed tensors in graph order, then graph inputs."""
        needed = {name for i in tail for name in self.needs[i]}
        # An output of the whole that is an input passed through untouched belongs to neither side's nodes.
        needed |= {value.name for value in self.model.graph.output if value.name in self.inputs}
        computed = [name for i in sorted(head) for name in self.nodes[i].output if name in needed]
        return computed + [name for name in self.inputs if name in needed]

    def inputs_of(self, nodes: frozenset[int]) -> list[str]:
        """Graph inputs that `nodes` use, in the graph's order."""
        used = {name for i in nodes for name in self.needs[i]}
        return [name for name in self.inputs if name in used]

    def part(self, nodes: frozenset[int], inputs: list[str], outputs: list[str], suffix: str) -> onnx.ModelProto:
        """A model of `nodes` and the constants they need, from `inputs` to `outputs`."""
        needed = {name for i in nodes for name in self.needs[i]} | set(outputs)
        constants = self.ancestors(name for name in needed if self.producer.get(name) in self.constant)
        chosen = sorted(nodes | constants)
        known = set(inputs) | {name for i in chosen for name in (*self.needs[i], *self.nodes[i].output)} | set(outputs)
        source, model = self.model.graph, onnx.ModelProto()
        for field in self.model.DESCRIPTOR.fields:
            if field.name != "graph":
                _copy_field(self.model, model, field.name)
        graph = model.graph
        graph.name = f"{source.name or 'graph'}_{suffix}"
        graph.doc_string = source.doc_string
        graph.metadata_props.extend(source.metadata_props)
        graph.node.extend(self.nodes[i] for i in chosen)
        graph.input.extend(self._typed(name) for name in inputs)
        graph.input.extend(v for v in source.input if v.name in self.initialisers and v.name in known)
        graph.output.extend(self._typed(name) for name in outputs)
        graph.initializer.extend(t for t in source.initializer if t.name in known)
        graph.sparse_initializer.extend(t for t in source.sparse_initializer if t.values.name in known)
        graph.quantization_annotation.extend(a for a in source.quantization_annotation if a.tensor_name in known)
        ends = {*inputs, *outputs, *self.initialisers}
        graph.value_info.extend(v for name, v in self.values.items() if name in known and name not in ends)
        return model

    def _constant_nodes(self) -> frozenset[int]:
        """Nodes that depend on no graph input."""
        varying = set(self.inputs)
        constant: set[int] = set()
        for i, node in enumerate(self.nodes):
            random = node.op_type.startswith("Random") or node.op_type in {"Bernoulli", "Multinomial"}
            if random or any(name in varying for name in self.needs[i]):
                varying.update(node.output)
            else:
                constant.add(i)
        return frozenset(constant)

    def _typed(self, name: str) -> onnx.ValueInfoProto:
        """What a half states of an edge: a type, and at least how many axes it has, or the half would not be valid."""
        if name not in self.values:
            raise ModelError(f"the type of tensor {name!r} is not known, even after shape inference")
        value = self.values[name]
        if not has_axes(value):
            raise ModelError(
                f"the number of axes of tensor {name!r} is not known, even after shape inference",
                "cut elsewhere, or export the model with fixed shapes",
            )
        return value


def _copy_field(source: onnx.ModelProto, target: onnx.ModelProto, name: str) -> None:
    value = getattr(source, name)
    if hasattr(value, "extend"):
        getattr(target, name).extend(value)
    elif source.HasField(name):
        setattr(target, name, value)


def _names(tensors: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in tensors)
