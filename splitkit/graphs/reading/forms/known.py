"""What a form may ask of the walk that applies it."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from splitkit.errors import ModelError
from splitkit.graphs.reading.graph import Array, Node, Type


class Known(Protocol):
    """Everything read before a node."""

    def type(self, name: str) -> Type:
        """Type of a tensor."""

    def constant(self, name: str) -> Array | None:
        """Value of a tensor if it is constant."""

    def add(self, hint: str, value: Array) -> str:
        """A new constant; returns its name, which is like `hint`."""

    def fresh(self, hint: str) -> str:
        """A name for a new tensor, like `hint`."""


Form = Callable[[Node, int, Known], Sequence[Node] | None]
"""A node of an opset as nodes of the newest one; None if the form does not apply."""


def ints(known: Known, name: str, values: Sequence[int] | Array) -> str:
    """A constant of int64, whose name says what it is for."""
    return known.add(name, np.array(values, np.int64))


def refuse(node: Node, why: str, hint: str | None = None) -> ModelError:
    """The error that says why a node cannot be compiled."""
    return ModelError(f"node {node.name!r} ({node.op}): {why}", hint)


def constant_input(node: Node, index: int, known: Known) -> Array | None:
    """Value of an input; None if it is left out.

    Raises:
        ModelError: it depends on the graph's inputs.
    """
    name = node.inputs[index] if len(node.inputs) > index else ""
    if not name:
        return None
    value = known.constant(name)
    if value is None:
        raise refuse(node, f"its input {name!r} must be constant")
    return value
