"""Nodes in an order in which every tensor is written before it is read.

ONNX demands it, but not every tool that writes ONNX obeys (ONNX Runtime's float16 converter, for one, does not).
"""

from collections.abc import Iterator, Sequence

import onnx


def in_order(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The same nodes, each after those whose outputs it reads; as they stand where that is so already.

    Nodes that wait for each other in a circle come last, as they stand.
    """
    nodes = list(nodes)
    writers = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    waits_for = [{writers[n] for n in needed(node) if n in writers} for node in nodes]
    if all(max(before, default=-1) < i for i, before in enumerate(waits_for)):
        return nodes
    readers: list[list[int]] = [[] for _ in nodes]
    for i, before in enumerate(waits_for):
        for writer in before:
            readers[writer].append(i)
    missing = [len(before) for before in waits_for]
    ready = [i for i, count in enumerate(missing) if not count]
    order: list[int] = []
    while ready:
        i = ready.pop(0)
        order.append(i)
        for reader in readers[i]:
            missing[reader] -= 1
            if not missing[reader]:
                ready.append(reader)
    placed = set(order)
    return [nodes[i] for i in [*order, *(i for i in range(len(nodes)) if i not in placed)]]


def ordered(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its nodes in order: itself where they are, else a copy."""
    nodes = in_order(model.graph.node)
    if all(a is b for a, b in zip(nodes, model.graph.node, strict=True)):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    return copy


def needed(node: onnx.NodeProto) -> Iterator[str]:
    """Names a node reads: its inputs, and what the bodies of control flow read from outside."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            inside = {v.name for v in body.input} | {t.name for t in body.initializer}
            for inner in body.node:
                yield from (name for name in needed(inner) if name not in inside)
                inside.update(inner.output)
            yield from (v.name for v in body.output if v.name not in inside)


def needed_names(graph: onnx.GraphProto) -> set[str]:
    """Tensors that the outputs depend on, inputs and initialisers among them."""
    writers = {name: node for node in graph.node for name in node.output if name}
    found, stack = set[str](), [value.name for value in graph.output]
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack += needed(writers[name]) if name in writers else ()
    return found
