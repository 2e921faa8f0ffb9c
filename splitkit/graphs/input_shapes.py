"""Models whose inputs leave extents open, fixed."""

from collections.abc import Mapping, Sequence

import onnx

from splitkit.errors import ModelError


def with_input_shapes(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> onnx.ModelProto:
    """A copy of the model whose inputs have these shapes; what it said of inner tensors' shapes is inferred anew.
    Without `shapes` the model itself.

    Raises:
        ModelError: it has no such input, or one with another number of axes or other fixed extents.
    """
    if not shapes:
        return model
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    inputs = {value.name: value for value in fixed.graph.input}
    for name, shape in shapes.items():
        if name not in inputs:
            raise ModelError(f"no input is called {name!r}", f"there are {', '.join(map(repr, inputs))}")
        tensor = inputs[name].type.tensor_type
        stated = [dim.dim_value if dim.WhichOneof("value") == "dim_value" else None for dim in tensor.shape.dim]
        rank = len(stated) == len(shape) or not tensor.HasField("shape")
        if not rank or any(have not in (None, want) for have, want in zip(stated, shape, strict=False)):
            shown = [extent or "?" for extent in stated]
            raise ModelError(f"input {name!r} has shape {_shown(shown)}, which {_shown(shape)} does not fit")
        del tensor.shape.dim[:]
        for extent in shape:
            tensor.shape.dim.add(dim_value=extent)
    del fixed.graph.value_info[:]
    for value in fixed.graph.output:  # extents that followed from the inputs' do so again
        for dim in value.type.tensor_type.shape.dim:
            if dim.WhichOneof("value") == "dim_param":
                dim.Clear()
    for value in fixed.graph.output:
        if any(dim.WhichOneof("value") is None for dim in value.type.tensor_type.shape.dim):
            value.type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(fixed, data_prop=True)


def _shown(shape: Sequence[object]) -> str:
    return f"[{', '.join(map(str, shape))}]"
