"""What a model takes and gives, and which side of a link it comes from: inputs are captured by the sensor, or they
are the aggregator's own, such as a prompt or a pose that never was on a sensor."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import onnx

from splitkit.errors import ModelError
from splitkit.graphs.order import needed_names
from splitkit.graphs.shapes import tensor_dtype, tensor_shape, value_infos
from splitkit.space.tensor import TensorSpec

SENDABLE = ("uint8", "float16", "float32")
"""dtypes that a link carries: what the wire has numbers for."""

MOST_AXES = 8
"""Of a tensor that a link carries."""


@dataclass(frozen=True)
class Edges:
    """Inputs and outputs of a model, in its order. Inputs that no output depends on are nobody's.

    Attributes:
        captured: inputs that the sensor has; the aggregator has what it is sent of them.
        own: inputs that the aggregator has; the sensor has none of them.
        results: outputs; the aggregator has all of them in the end.
        final: whether they are what the model is for, and cross as they are; else features on their way to more.
    """

    captured: tuple[TensorSpec, ...]
    own: tuple[TensorSpec, ...]
    results: tuple[TensorSpec, ...]
    final: bool = True

    @classmethod
    def of(cls, model: onnx.ModelProto, aggregator_inputs: Sequence[str] = ()) -> Self:
        """Those of a model, the inputs named the aggregator's own.

        Raises:
            ModelError: an input is unknown, none is left to the sensor, one that it captures cannot be sent, or an
                edge has no static shape.
        """
        require_inputs(model, aggregator_inputs)
        needed = needed_names(model.graph)
        inputs = [tensor for tensor in inputs_of(model) if tensor.name in needed]
        captured = tuple(tensor for tensor in inputs if tensor.name not in aggregator_inputs)
        own = tuple(tensor for tensor in inputs if tensor.name in aggregator_inputs)
        if not captured:
            raise ModelError("no output depends on what the sensor captures", "name fewer inputs the aggregator's own")
        for tensor in captured:
            _require_sendable(tensor)
        values = value_infos(model)
        return cls(captured, own, tuple(spec_of(values.get(value.name, value)) for value in model.graph.output))

    @property
    def captured_names(self) -> tuple[str, ...]:
        """Of what the sensor has."""
        return tuple(tensor.name for tensor in self.captured)

    @property
    def own_names(self) -> tuple[str, ...]:
        """Of what the aggregator has from the beginning."""
        return tuple(tensor.name for tensor in self.own)

    @property
    def result_names(self) -> tuple[str, ...]:
        """Of the outputs."""
        return tuple(tensor.name for tensor in self.results)

    @property
    def captured_bytes(self) -> int:
        """Of all that the sensor has."""
        return sum(tensor.bytes for tensor in self.captured)

    def sent(self, tensor: TensorSpec, link_dtype: str) -> TensorSpec:
        """What crosses for a tensor: `link_dtype` if it is float32 that is computed on the way; the model's inputs and
        outputs cross as they are."""
        ends = (*self.captured_names, *(self.result_names if self.final else ()))
        as_it_is = tensor.dtype != "float32" or tensor.name in ends
        return tensor if as_it_is else replace(tensor, dtype=link_dtype)


def inputs_of(model: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    """What a model has to be given.

    Raises:
        ModelError: one has no static shape.
    """
    return tuple(spec_of(value) for value in _given(model))


def input_names(model: onnx.ModelProto) -> list[str]:
    """What has to be given, by name, whatever its shape."""
    return [value.name for value in _given(model)]


def require_inputs(model: onnx.ModelProto, names: Sequence[str]) -> None:
    """Raises ModelError: the model has no input of one of these names."""
    known = input_names(model)
    for name in names:
        if name not in known:
            raise ModelError(f"no input is called {name!r}", f"there are {', '.join(map(repr, known))}")


def _given(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Inputs without initialisers: one that is listed as well has a default, and is a constant here."""
    constants = {tensor.name for tensor in model.graph.initializer}
    constants |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    return [value for value in model.graph.input if value.name not in constants]


def spec_of(value: onnx.ValueInfoProto) -> TensorSpec:
    """A value as a tensor.

    Raises:
        ModelError: it has no static shape.
    """
    return TensorSpec(value.name, tensor_shape(value), tensor_dtype(value))


def _require_sendable(tensor: TensorSpec) -> None:
    what = f"input {tensor.name!r} is {tensor.dtype} {list(tensor.shape)}"
    if tensor.dtype not in SENDABLE:
        raise ModelError(
            f"{what}, a link carries {', '.join(SENDABLE)}",
            f"--aggregator-input {tensor.name} if no sensor captures it",
        )
    if not 1 <= len(tensor.shape) <= MOST_AXES or min(tensor.shape) < 1:
        raise ModelError(f"{what}, a link carries 1 to {MOST_AXES} axes of at least 1")
