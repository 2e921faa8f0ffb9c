"""A graph: an ONNX model with static shapes, and which of the tensors at its edge are inner ones of a larger network.

The one currency of lowering, measuring, tuning and predicting: pieces of a search space and models that somebody else
made come in the same way. Importing this imports no onnx; making a model does.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from splitkit.space.operators import Operator

if TYPE_CHECKING:
    import onnx


class Graph(Protocol):
    """What can be compiled and measured. Cheap to send to another process."""

    @property
    def interior(self) -> frozenset[str]:
        """Inputs and outputs that stay in the compiler's own layout, since something else joins on there."""
        ...

    def model(self) -> "onnx.ModelProto":
        """The ONNX model."""
        ...


@dataclass(frozen=True)
class RenderedGraph:
    """Operators of a search space, rendered when asked for, with random weights: times do not depend on them."""

    operators: tuple[Operator, ...]
    interior: frozenset[str] = frozenset()

    def model(self) -> "onnx.ModelProto":
        from splitkit.graphs.render import render

        return render(self.operators)


@dataclass(frozen=True)
class OnnxGraph:
    """A model as it is, serialised."""

    content: bytes = field(repr=False)
    interior: frozenset[str] = frozenset()

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """A model from a file, external data included.

        Raises:
            ModelError: it cannot be read or is no ONNX model.
        """
        from splitkit.graphs.model import load_model

        return cls(load_model(Path(path)).SerializeToString())

    def model(self) -> "onnx.ModelProto":
        import onnx

        return onnx.load_from_string(self.content)
