"""Scale and zero point of a graph's tensors, kept in the model's metadata: real = (stored - zero point) * scale.

A graph that quantises its output does so with ordinary operators; nothing in it says to a reader what the integers
mean. The keys are `TENSOR.scale` and `TENSOR.zero_point`.
"""

from typing import TYPE_CHECKING

from splitkit.errors import ModelError

if TYPE_CHECKING:
    import onnx

_SCALE, _ZERO_POINT = ".scale", ".zero_point"


def state_quantisation(model: "onnx.ModelProto", tensor: str, scale: float, zero_point: int) -> None:
    """Write down what the integers of a tensor mean; replaces what was said before."""
    values = {f"{tensor}{_SCALE}": repr(scale), f"{tensor}{_ZERO_POINT}": str(zero_point)}
    kept = [entry for entry in model.metadata_props if entry.key not in values]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    for key, value in values.items():
        model.metadata_props.add(key=key, value=value)


def stated_quantisation(model: "onnx.ModelProto") -> dict[str, tuple[float, int]]:
    """Scale and zero point by tensor.

    Raises:
        ModelError: an entry is not a number.
    """
    entries = {entry.key: entry.value for entry in model.metadata_props}
    found = {}
    for key, value in entries.items():
        if key.endswith(_SCALE):
            tensor = key.removesuffix(_SCALE)
            try:
                found[tensor] = (float(value), int(entries.get(f"{tensor}{_ZERO_POINT}", "0")))
            except ValueError as error:
                raise ModelError(f"metadata of the ONNX graph: {key}: not a number: {value!r}") from error
    return found
