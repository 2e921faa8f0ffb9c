"""Tensors that a user names, or the operators that write them."""

import onnx

from splitkit.errors import ModelError


def tensors_named(model: onnx.ModelProto, names: tuple[str, ...]) -> tuple[str, ...]:
    """What each name stands for: a tensor itself, or all that an operator of that name writes.

    Raises:
        ModelError: two operators have the name, and no tensor has it.
    """
    graph = model.graph
    tensors = {name for node in graph.node for name in (*node.input, *node.output)}
    tensors |= {value.name for value in (*graph.input, *graph.output)}
    found: list[str] = []
    for name in names:
        nodes = [node for node in graph.node if node.name == name]
        if name in tensors or not nodes:  # an unknown one is refused where the cut is made, with names like it
            found.append(name)
        elif len(nodes) > 1:
            raise ModelError(f"{len(nodes)} operators are called {name!r}", "name a tensor")
        else:
            found += [output for output in nodes[0].output if output]
    return tuple(dict.fromkeys(found))
