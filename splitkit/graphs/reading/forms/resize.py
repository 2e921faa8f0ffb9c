"""Resizing in one form, and what has no kernel of its own as products with constant matrices.

Interpolation is linear and works on one axis after the other, so that along each axis it is a matrix, whatever the
mode, the coordinates or the filter; the matrix is what onnx's reference makes of the identity.
"""

from dataclasses import replace

import numpy as np
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from splitkit.graphs.reading.forms.known import Known, constant_input, ints, refuse
from splitkit.graphs.reading.graph import Array, Node

COORDINATES = frozenset({b"half_pixel", b"align_corners", b"asymmetric"})
"""Ways of counting pixels that kernels know."""
NEAREST = frozenset({(b"asymmetric", b"floor"), (b"half_pixel", b"round_prefer_floor")})
"""Ways of choosing the nearest pixel that are the default lowering's too."""


def upsample(node: Node, opset: int, known: Known) -> list[Node]:
    """Upsample, which opset 10 renamed: its scales were an attribute at first."""
    scales = node.attrs.get("scales")
    if scales is None and len(node.inputs) < 2:
        raise refuse(node, "it states no scales, as before opset 7")
    name = node.inputs[1] if scales is None else known.add(f"{node.output}.scales", np.array(scales, np.float32))
    attrs = {"mode": node.attrs.get("mode", b"nearest")}
    return [Node("Resize", node.name, (node.inputs[0], "", name), node.outputs, _old(attrs))]


def of_opset_10(node: Node, opset: int, known: Known) -> list[Node] | None:
    """The two inputs of opset 10, and the only way of counting pixels it had."""
    if opset >= 11:
        return None
    attrs = {"mode": node.attrs.get("mode", b"nearest")}
    return [replace(node, inputs=(node.inputs[0], "", node.inputs[1]), attrs=_old(attrs))]


def _old(attrs: dict[str, bytes]) -> dict[str, bytes]:
    mode = b"linear" if attrs["mode"] == b"bilinear" else attrs["mode"]
    return {"mode": mode, "coordinate_transformation_mode": b"asymmetric", "nearest_mode": b"floor"}


def of_every_axis(node: Node, opset: int, known: Known) -> list[Node] | None:
    """Constant scales or sizes for every axis: neither `axes` nor a policy for the aspect ratio."""
    shape = known.type(node.inputs[0]).shape
    roi, scales, sizes = (constant_input(node, i, known) for i in (1, 2, 3))
    axes = [int(a) % len(shape) for a in node.attrs.get("axes", range(len(shape)))]
    policy = node.attrs.get("keep_aspect_ratio_policy", b"stretch")
    given = [value for value in (roi, scales, sizes) if value is not None]
    if "axes" not in node.attrs and policy == b"stretch" and all(value.size for value in given):
        return None
    attrs = {n: v for n, v in node.attrs.items() if n not in ("axes", "keep_aspect_ratio_policy")}
    inputs = [node.inputs[0], "", "", ""]
    if roi is not None and roi.size:
        whole = np.repeat(np.array([0, 1], roi.dtype), len(shape)).reshape(2, -1)
        whole[:, axes] = roi.reshape(2, -1)
        inputs[1] = known.add(f"{node.output}.roi", whole.reshape(-1))
    if scales is not None and scales.size:
        every = np.ones(len(shape), np.float32)
        every[axes] = scales
        inputs[2] = known.add(f"{node.output}.scales", every)
    elif sizes is not None and policy == b"stretch":
        extents = np.array(shape, np.int64)
        extents[axes] = sizes
        inputs[3] = ints(known, f"{node.output}.sizes", extents)
    elif sizes is not None:
        inputs[2] = known.add(f"{node.output}.scales", _one_scale(node, shape, axes, sizes))
    return [replace(node, inputs=tuple(inputs), attrs=attrs)]


def _one_scale(node: Node, shape: tuple[int, ...], axes: list[int], sizes: Array) -> Array:
    """Scales of every axis under a policy that keeps the aspect ratio."""
    ratios = [size / shape[axis] for axis, size in zip(axes, sizes, strict=True)]
    scale = (min if node.attrs["keep_aspect_ratio_policy"] == b"not_larger" else max)(ratios)
    scales = np.ones(len(shape), np.float32)
    scales[axes] = scale
    if any(int(float(scales[a]) * shape[a]) != int(scale * shape[a] + 0.5) for a in axes):
        raise refuse(node, "its aspect ratio leads to a size that has to be rounded up", "state scales instead")
    return scales


def as_products(node: Node, opset: int, known: Known) -> list[Node] | None:
    """A gathering or a product along every axis that changes; None for what kernels can do."""
    x = node.inputs[0]
    shape, dtype = known.type(x).shape, known.type(x).dtype
    roi, scales, sizes = (constant_input(node, i, known) for i in (1, 2, 3))
    factors = scales if scales is not None else np.array(sizes) / np.array(shape)
    extents = sizes if sizes is not None else [int(f * s) for f, s in zip(factors, shape, strict=True)]
    if _has_kernel(node, shape, dtype, factors, extents):
        return None
    nearest = node.attrs.get("mode", b"nearest") == b"nearest"
    if dtype != "float32" and not nearest:
        raise refuse(node, f"only images of float32 are interpolated, not of {dtype}", "cast first")
    crop = node.attrs.get("coordinate_transformation_mode") == b"tf_crop_and_resize"
    _refuse_what_is_not_settled(node, shape, factors, extents, nearest)
    nodes: list[Node] = []
    outside = np.zeros((1,) * len(shape), bool)
    for axis in range(len(shape)):
        ends = None if roi is None or not crop else (roi[axis], roi[len(shape) + axis])
        if factors[axis] == 1 and extents[axis] == shape[axis] and ends in (None, (0, 1)):
            continue
        matrix = _matrix(node, shape[axis], None if sizes is not None else factors[axis], extents[axis], ends)
        column = [-1 if i == axis else 1 for i in range(len(shape))]
        outside = outside | ~matrix.any(axis=0).reshape(column) if crop else outside
        x = (_gathered if nearest else _product)(node, x, axis, matrix, nodes, known)
    if outside.any():
        value = np.float32(node.attrs.get("extrapolation_value", 0.0))
        inside = known.add(f"{node.output}.inside", (~outside).astype(dtype))
        border = known.add(f"{node.output}.border", (outside * value).astype(dtype))
        kept, added = known.fresh(f"{node.output}.kept"), known.fresh(f"{node.output}.bordered")
        nodes += [Node("Mul", kept, (x, inside), (kept,)), Node("Add", added, (kept, border), (added,))]
        x = added
    return [*nodes, Node("Identity", node.name, (x,), node.outputs)]


def _refuse_what_is_not_settled(
    node: Node, shape: tuple[int, ...], factors: Array, extents: Array | list[int], nearest: bool
) -> None:
    """What onnx's reference and ONNX Runtime make differently of scales that lead to no whole size."""
    coordinates = node.attrs.get("coordinate_transformation_mode", b"half_pixel")
    for extent, factor, size in zip(shape, factors, extents, strict=True):
        if coordinates == b"align_corners" and float(factor) * extent != size:
            raise refuse(node, f"corners cannot be aligned: {extent} times {factor:g} is no whole size", "state sizes")
        single, double = (_picked(node, factor, size, dtype) for dtype in ("f4", "f8"))
        if nearest and factor != 1 and not np.array_equal(single, double):
            raise refuse(node, f"a scale of {factor:g} puts pixels halfway between two", "state another scale")


def _picked(node: Node, factor: float, size: int, dtype: str) -> Array:
    """Input pixels that are nearest if coordinates are computed in a precision."""
    scale, place = np.dtype(dtype).type(np.float32(factor)), np.arange(size).astype(dtype)
    half = np.dtype(dtype).type(0.5)
    asymmetric = node.attrs.get("coordinate_transformation_mode") == b"asymmetric"
    at = place / scale if asymmetric else (place + half) / scale - half
    match node.attrs.get("nearest_mode", b"round_prefer_floor"):
        case b"floor":
            return np.asarray(np.floor(at))
        case b"ceil":
            return np.asarray(np.ceil(at))
        case b"round_prefer_ceil":
            return np.asarray(np.floor(at + half))
    return np.asarray(np.ceil(at - half))


def _has_kernel(node: Node, shape: tuple[int, ...], dtype: str, factors: Array, extents: Array | list[int]) -> bool:
    """Whether the schedule for bilinear images or the default lowering computes this node."""
    exact = all(float(f) * s == e for f, s, e in zip(factors, shape, extents, strict=True))
    if len(shape) != 4 or tuple(extents[:2]) != shape[:2] or dtype != "float32" or node.attrs.get("antialias", 0):
        return False
    coordinates = node.attrs.get("coordinate_transformation_mode", b"half_pixel")
    match node.attrs.get("mode", b"nearest"):
        case b"linear":
            return coordinates in COORDINATES and (exact or len(node.inputs) > 3)
        case b"nearest":
            whole = all(e % s == 0 for e, s in zip(extents, shape, strict=True))
            return exact and whole and (coordinates, node.attrs.get("nearest_mode", b"round_prefer_floor")) in NEAREST
    return False


def _matrix(node: Node, extent: int, factor: float | None, size: int, ends: tuple[float, float] | None) -> Array:
    """What each output element (column) takes of each input element (row), (extent, size)."""
    attrs = {n: v for n, v in node.attrs.items() if n not in ("extrapolation_value", "axes")}
    feeds: dict[str, Array] = {"x": np.eye(extent, dtype=np.float32)}
    names = ["x", "", "", ""]
    if ends is not None:
        names[1], feeds["roi"] = "roi", np.array([0, ends[0], 1, ends[1]], np.float32)
    if factor is not None:
        names[2], feeds["scales"] = "scales", np.array([1, factor], np.float32)
    else:
        names[3], feeds["sizes"] = "sizes", np.array([extent, size], np.int64)
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in feeds.items()
    ]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Resize", names, ["y"], **attrs)], "resize", infos, [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
    (matrix,) = ReferenceEvaluator(model).run(None, dict(feeds))
    return np.asarray(matrix)


def _gathered(node: Node, x: str, axis: int, matrix: Array, nodes: list[Node], known: Known) -> str:
    picked = known.fresh(f"{node.output}.axis{axis}")
    source = ints(known, f"{picked}.from", matrix.argmax(axis=0))
    nodes.append(Node("Gather", picked, (x, source), (picked,), {"axis": axis}))
    return picked


def _product(node: Node, x: str, axis: int, matrix: Array, nodes: list[Node], known: Known) -> str:
    """`x` times the matrix along an axis, which is the last one meanwhile."""
    rank = len(known.type(node.inputs[0]).shape)
    order = [*(i for i in range(rank) if i != axis), axis]
    turned, product, back = (known.fresh(f"{node.output}.axis{axis}.{part}") for part in ("turned", "product", "back"))
    weight = known.add(f"{product}.weight", matrix)
    nodes.append(Node("Transpose", turned, (x,), (turned,), {"perm": order}))
    nodes.append(Node("MatMul", product, (turned, weight), (product,)))
    nodes.append(Node("Transpose", back, (product,), (back,), {"perm": [order.index(i) for i in range(rank)]}))
    return back
