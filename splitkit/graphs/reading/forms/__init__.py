"""Older and rarer forms of operators, rewritten as the newest and plainest: one kind of rewriting a file.

What comes after (simplification, schedules, the default lowering) then knows one form of each operator. A form looks at
a single node; all that apply are applied until none does.
"""

from collections.abc import Sequence

from splitkit.graphs.reading.forms import (
    axes,
    batch_norm,
    blocks,
    bounds,
    broadcast,
    dropout,
    expand,
    flattening,
    names,
    padding,
    pads,
    pieces,
    reduction,
    resize,
    slices,
    swish,
    transposed,
    types,
)
from splitkit.graphs.reading.forms.known import Form, Known
from splitkit.graphs.reading.graph import Node

ARITHMETIC = ("Add", "Sub", "Mul", "Div", "And", "Or", "Xor", "Greater", "Less")
REDUCTIONS = ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
              "ReduceLogSumExp", "ReduceSumSquare")  # fmt: skip

FORMS: dict[str, tuple[Form, ...]] = {
    **dict.fromkeys(ARITHMETIC, (broadcast.by_attribute,)),
    **dict.fromkeys(("Squeeze", "Unsqueeze"), (axes.as_input,)),
    **dict.fromkeys(REDUCTIONS, (axes.as_input, reduction.without_axes)),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), (flattening.to_matrix,)),
    **dict.fromkeys(("Conv", "MaxPool", "AveragePool", "LpPool"), (padding.explicit,)),
    "BatchNormalization": (batch_norm.spatial, batch_norm.training),
    "CastLike": (types.cast_like,),
    "Clip": (bounds.as_inputs,),
    "ConvTranspose": (padding.transposed, transposed.without_overlap, transposed.as_convolution),
    "DepthToSpace": (blocks.depth_to_space,),
    "Dropout": (dropout.at_rest,),
    "Equal": (broadcast.by_attribute, types.equal_flags),
    "Expand": (expand.to_whole_shape,),
    "GridSample": (names.grid_modes,),
    "IsInf": (types.signed_infinity,),
    "Pad": (pads.as_inputs, pads.of_every_axis, pads.cropping),
    "Pow": (broadcast.by_attribute, types.one_type),
    "Resize": (resize.of_opset_10, resize.of_every_axis, resize.as_products),
    "RoiAlign": (names.roi_coordinates, names.scaled_rois),
    "Scatter": (names.scatter,),
    "Slice": (slices.as_inputs,),
    "SpaceToDepth": (blocks.space_to_depth,),
    "Split": (pieces.as_input,),
    "Swish": (swish.with_factor,),
    "TopK": (pieces.count_as_input,),
    "Upsample": (resize.upsample,),
}  # fmt: skip


def newest_form(node: Node, opset: int, known: Known) -> Sequence[Node] | None:
    """Nodes of the newest opset that do what a node of `opset` does; None if it is in that form already.

    Raises:
        ModelError: the node cannot be what it says, or cannot be compiled; names it.
    """
    for form in FORMS.get(node.op, ()):
        newer = form(node, opset, known)
        if newer is not None:
            return newer
    return None
