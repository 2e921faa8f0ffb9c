"""Every operator that TVM's importer takes, with its attributes, as small models: operator x inputs x attributes x opset.

An operator is built at the first opset from 7 on of each of its versions up to 23: between two versions it is the same.
"""
# ruff: noqa: E501 (a row of the table is a line)

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import defs, helper, numpy_helper

OLDEST, NEWEST = 7, 23
Array = NDArray[Any]


@dataclass(frozen=True)
class Fed:
    """An input of the graph: random values in [low, high), whole ones for integers; `specials` come first."""

    shape: tuple[int, ...]
    low: float = -2.0
    high: float = 2.0
    dtype: str = "float32"
    specials: tuple[float, ...] = ()

    def values(self, rng: np.random.Generator) -> Array:
        """What the graph is fed with."""
        if self.dtype == "bool":
            return rng.random(self.shape) < 0.5
        drawn = rng.uniform(self.low, self.high, self.shape)
        drawn.reshape(-1)[: len(self.specials)] = self.specials
        return np.asarray(drawn if self.dtype.startswith("float") else np.floor(drawn)).astype(self.dtype)


Given = Fed | Array | None
"""An input, a constant, or one that is left out."""


@cache
def _versions() -> Mapping[str, set[int]]:
    """First opsets of every operator's versions."""
    found: dict[str, set[int]] = {}
    for schema in defs.get_all_schemas_with_history():
        if not schema.domain and not (schema.deprecated and schema.name == "Upsample"):
            found.setdefault(schema.name, set()).add(schema.since_version)
    return found


@dataclass(frozen=True)
class Row:
    """An operator on some inputs, with every combination of some attributes; an attribute None is left out."""

    op: str
    inputs: tuple[Given, ...]
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    since: int = OLDEST
    until: int = NEWEST
    outputs: int = 1

    def opsets(self) -> list[int]:
        """The first opset of each version of the operator in the row's range."""
        return sorted({max(start, self.since) for start in _versions()[self.op] if start <= self.until})


@dataclass(frozen=True)
class Combination:
    """One operator with one choice of attributes at one opset, as a model of one node."""

    label: str
    model: onnx.ModelProto
    fed: Mapping[str, Fed]

    def feeds(self, seed: int) -> dict[str, Array]:
        """Values of the inputs."""
        rng = np.random.default_rng(seed)
        return {name: given.values(rng) for name, given in self.fed.items()}


def combinations(opset: int) -> Iterator[Combination]:
    """All of the table at one opset."""
    numbers: dict[str, int] = {}
    for row in ROWS:
        numbers[row.op] = numbers.get(row.op, -1) + 1
        if opset not in row.opsets():
            continue
        for chosen in product(*row.grid.values()):
            attrs = {name: value for name, value in zip(row.grid, chosen, strict=True) if value is not None}
            said = " ".join(f"{name}={_text(value)}" for name, value in attrs.items())
            yield _combination(row, attrs, opset, f"{row.op}.{numbers[row.op]} {said}".strip())


def opsets() -> list[int]:
    """Every opset at which some row has a version."""
    return sorted({opset for row in ROWS for opset in row.opsets()})


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _combination(row: Row, attrs: Mapping[str, Any], opset: int, label: str) -> Combination:
    fed = {f"x{i}": given for i, given in enumerate(row.inputs) if isinstance(given, Fed)}
    constants = [
        numpy_helper.from_array(given, f"x{i}") for i, given in enumerate(row.inputs) if isinstance(given, np.ndarray)
    ]
    names = ["" if given is None else f"x{i}" for i, given in enumerate(row.inputs)]
    outputs = [f"y{i}" for i in range(row.outputs)]
    node = helper.make_node(row.op, names, outputs, "node", **attrs)
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(given.dtype)), given.shape)
        for name, given in fed.items()
    ]
    ends = [helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = helper.make_graph([node], "one", infos, ends, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return Combination(label, onnx.shape_inference.infer_shapes(model, data_prop=True), fed)


def x(*shape: int, low: float = -2.0, high: float = 2.0, dtype: str = "float32", specials: Sequence[float] = ()) -> Fed:
    """An input of the graph."""
    return Fed(shape, low, high, dtype, tuple(specials))


def k(value: Any, dtype: str = "float32") -> Array:
    """A constant."""
    return np.asarray(value, dtype)


def ints(*values: int) -> Array:
    """A constant list of int64."""
    return np.array(values, np.int64)


def weight(*shape: int) -> Array:
    """Constant weights, the same for the same shape."""
    return (np.random.default_rng(sum(shape)).standard_normal(shape) * 0.4).astype(np.float32)


IMAGE = x(2, 6, 9, 7)
INF, NAN = float("inf"), float("nan")
PAIRS: list[tuple[Given, Given]] = [
    (x(2, 3, 5), x(2, 3, 5, low=0.5)), (x(2, 3, 5), x(5, low=0.5)), (x(3, 1), x(1, 5, low=0.5)),
    (x(2, 3, 5), k(1.5)), (k(1.5), x(2, 3, 5, low=0.5)), (x(1, 3, 4, 5), k([[[1.5]], [[-0.5]], [[2.0]]])),
]  # fmt: skip
WHOLE = [(x(2, 17, low=-9, high=9, dtype=d), x(2, 17, low=1, high=5, dtype=d)) for d in ("int32", "int64")]
BITS = [(x(3, 7, low=0, high=200, dtype=d), x(3, 7, low=0, high=7, dtype=d)) for d in ("uint8", "int32")]
FLAGS = (x(3, 1, 5, dtype="bool"), x(4, 5, dtype="bool"))
UNARY = {
    "Abs": x(3, 17), "Neg": x(3, 17), "Floor": x(3, 17), "Ceil": x(3, 17), "Sign": x(3, 17, specials=(0.0,)),
    "Round": x(3, 17, specials=(0.5, 1.5, -0.5, -1.5)), "Exp": x(3, 17), "Log": x(3, 17, low=0.1), "Erf": x(3, 17),
    "Sqrt": x(3, 17, low=0.0), "Reciprocal": x(3, 17, low=0.3), "Sin": x(3, 17), "Cos": x(3, 17),
    "Tan": x(3, 17, low=-1, high=1), "Asin": x(3, 17, low=-0.9, high=0.9), "Acos": x(3, 17, low=-0.9, high=0.9),
    "Atan": x(3, 17), "Sinh": x(3, 17), "Cosh": x(3, 17), "Tanh": x(3, 17), "Asinh": x(3, 17),
    "Acosh": x(3, 17, low=1.1), "Atanh": x(3, 17, low=-0.9, high=0.9), "Relu": x(3, 17), "Sigmoid": x(3, 17),
    "Softplus": x(3, 17), "Softsign": x(3, 17), "HardSwish": x(3, 17, low=-5, high=5), "Mish": x(3, 17),
    "Identity": x(3, 17), "GlobalAveragePool": IMAGE, "GlobalMaxPool": IMAGE, "IsNaN": x(3, 17, specials=(NAN,)),
    "Flatten": x(2, 3, 4, 5),
}  # fmt: skip
WIDE = x(3, 17, low=-8, high=8)
ROI = k([[0, 0, 5, 4], [1, 1.5, 6, 7], [0, 2, 4, 4]])

ROWS: list[Row] = [
    *(Row(op, (given,)) for op, given in UNARY.items()),
    *(Row(op, pair) for op in ("Add", "Sub", "Mul", "Div", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Max",
                               "Min", "Sum", "Mean") for pair in PAIRS),
    *(Row(op, pair) for op in ("Add", "Sub", "Mul", "Less", "Greater", "Equal", "Max", "Min") for pair in WHOLE),
    *(Row("Div", (x(2, 17, low=0, high=90, dtype=d), x(2, 17, low=1, high=5, dtype=d))) for d in ("int32", "int64")),
    *(Row("Mod", pair, {"fmod": (None, 1)}) for pair in WHOLE),
    Row("Mod", (x(2, 17, low=-9, high=9), x(2, 17, low=0.5, high=4)), {"fmod": (1,)}),
    Row("Equal", (x(4, 5, dtype="bool"), x(4, 5, dtype="bool"))),
    Row("Equal", (x(4, 5, low=0, high=3, dtype="int64"), k([0, 1, 2, 1, 0], "int64"))),
    *(Row("Pow", pair) for pair in [(x(3, 17, low=0.1), k(e)) for e in (2.0, 0.5, 3.0, 1.7, -1.0)]),
    Row("Pow", (x(3, 17), k(3, "int64"))), Row("Pow", (x(3, 5, low=0.1), x(5))), Row("Pow", (x(3, 17), k(2.0))),
    *(Row(op, FLAGS) for op in ("And", "Or", "Xor")), Row("Not", (FLAGS[0],)),
    *(Row(op, pair) for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor") for pair in BITS),
    Row("BitwiseNot", (BITS[1][0],)), *(Row("BitShift", (BITS[0][0], by), {"direction": ("LEFT", "RIGHT")}) for by in (k(3, "uint8"), k([1, 2, 3, 4, 5, 6, 0], "uint8"))),
    Row("IsInf", (x(3, 7, specials=(INF, -INF, NAN)),), {"detect_negative": (None, 0, 1), "detect_positive": (None, 0)}),
    Row("Max", (x(2, 5), x(5), x(2, 1))), Row("Min", (x(2, 5),)), Row("Sum", (x(2, 5), x(5), x(2, 1))),
    Row("Mean", (x(2, 5), x(5), x(2, 1))), Row("Where", (FLAGS[1], x(4, 5), k(0.5))),
    Row("Where", (x(4, 1, dtype="bool"), x(4, 5), x(5))),
    # activations
    Row("Elu", (WIDE,), {"alpha": (None, 0.5)}), Row("Celu", (WIDE,), {"alpha": (None, 0.5)}),
    Row("Selu", (WIDE,), {"alpha": (None, 1.2), "gamma": (None, 0.7)}),
    Row("LeakyRelu", (WIDE,), {"alpha": (None, 0.3)}), Row("ThresholdedRelu", (WIDE,), {"alpha": (None, 0.4, 2.5)}),
    Row("HardSigmoid", (WIDE,), {"alpha": (None, 0.1), "beta": (None, 0.3)}),
    Row("Shrink", (WIDE,), {"lambd": (None, 1.5), "bias": (None, 0.5)}),
    Row("Gelu", (WIDE,), {"approximate": (None, "none", "tanh")}),
    Row("PRelu", (IMAGE, weight(6, 1, 1))), Row("PRelu", (x(3, 5), weight(5))), Row("PRelu", (x(3, 5), k(0.2))),
    *(Row(op, (given,), {"axis": (None, 0, 1, -1)}) for op in ("Softmax", "LogSoftmax", "Hardmax")
      for given in (x(3, 4, 5), x(4, 9))),
    Row("Clip", (WIDE,), {"min": (None, -1.0), "max": (None, 2.5)}, until=10),
    *(Row("Clip", (WIDE, low, high), since=11) for low in (None, k(-1.0)) for high in (None, k(2.5))),
    Row("Clip", (x(3, 17, low=-9, high=9, dtype="int32"), k(-3, "int32"), k(4, "int32")), since=12),
    # shapes
    Row("Reshape", (x(2, 3, 4), ints(0, -1))), Row("Reshape", (x(2, 3, 4), ints(4, 6)), {"allowzero": (None, 1)}, 14),
    Row("Transpose", (x(2, 3, 4),), {"perm": (None, [0, 2, 1], [2, 0, 1])}),
    Row("Flatten", (x(2, 3, 4),), {"axis": (None, 0, 1, 2, 3)}), Row("Flatten", (x(2, 3, 4),), {"axis": (-1,)}, 11),
    Row("Squeeze", (x(1, 3, 1, 5),), {"axes": (None, [0], [0, 2])}, until=12),
    *(Row("Squeeze", (x(1, 3, 1, 5), axes), since=13) for axes in (None, ints(0), ints(-2))),
    Row("Unsqueeze", (x(3, 5),), {"axes": ([0], [0, 3])}, until=12),
    *(Row("Unsqueeze", (x(3, 5), axes), since=13) for axes in (ints(0), ints(-1, 1))),
    Row("Concat", (x(2, 3), x(2, 3)), {"axis": (0, 1, -1)}), Row("Concat", (x(1, 3, 4, 4), x(1, 5, 4, 4)), {"axis": (1,)}),
    Row("Concat", (x(2, 3), weight(2, 3)), {"axis": (0, 1)}),
    Row("Concat", (x(1, 3, low=-2**40, high=2**40, dtype="int64"), x(1, 2, dtype="int64")), {"axis": (1,)}),
    Row("Split", (x(6, 4),), {"axis": (None, 1, -1), "split": (None,)}, until=12, outputs=2),
    Row("Split", (x(6, 4),), {"split": ([1, 5], [2, 4])}, until=12, outputs=2),
    *(Row("Split", (x(6, 4), sizes), {"axis": (None, 0)}, 13, 17, 2) for sizes in (None, ints(1, 5))),
    Row("Split", (x(7, 4),), {"num_outputs": (3,)}, 18, outputs=3), Row("Split", (x(6, 4), ints(1, 5)), {}, 18, outputs=2),
    Row("Slice", (x(6, 7),), {"starts": ([1, -3],), "ends": ([5, 100],), "axes": (None, [1, 0])}, until=9),
    Row("Slice", (x(6, 7), ints(1, -3), ints(5, 100))), Row("Slice", (x(6, 7), ints(5), ints(-100), ints(0), ints(-2))),
    Row("Slice", (x(6, 7), ints(0), ints(6), ints(-1), ints(3))), Row("Slice", (x(1, 6, 7), ints(2), ints(5), ints(1))),
    Row("Expand", (x(3, 1), ints(2, 3, 4))), Row("Expand", (x(2, 3, 4), ints(3, 1))), Row("Expand", (x(3, 4), ints(1))),
    Row("Tile", (x(2, 3), ints(2, 2))), Row("Tile", (x(2, 3), ints(1, 1))),
    Row("DepthToSpace", (x(1, 8, 3, 2),), {"blocksize": (2,)}, until=10),
    Row("DepthToSpace", (x(1, 8, 3, 2),), {"blocksize": (2,), "mode": (None, "DCR", "CRD")}, 11),
    Row("SpaceToDepth", (x(1, 3, 4, 6),), {"blocksize": (2,)}),
    Row("Trilu", (x(2, 4, 5),), {"upper": (None, 0)}), Row("Trilu", (x(4, 5), k(1, "int64")), {"upper": (None, 0)}),
    Row("Pad", (x(2, 3, 5),), {"pads": ([0, 1, 2, 0, 2, 1],), "mode": (None, "reflect", "edge"), "value": (None, 1.5)},
        until=10),
    *(Row("Pad", (x(2, 3, 5), ints(0, 1, 2, 0, 2, 1), value), {"mode": (None, "reflect", "edge")}, 11)
      for value in (None, k(1.5))),
    Row("Pad", (x(2, 3, 5), ints(0, -1, 2, 0, 1, -2), k(0.5)), since=11),
    Row("Pad", (x(2, 3, 5), ints(1, 2), k(0.5), ints(-1)), {"mode": (None, "reflect", "edge")}, 18),
    Row("Pad", (x(2, 3, 5), ints(0, 1, 2, 0, 2, 1)), {"mode": ("wrap",)}, 19),
    Row("Cast", (WIDE,), {"to": (6, 7, 9, 10, 11, 3)}), Row("Cast", (x(3, 5, low=0, high=200),), {"to": (2, 3, 5)}),
    Row("Cast", (x(3, 5, low=-2**30, high=2**30, dtype="int32"),), {"to": (1, 7, 3, 9)}),
    Row("Cast", (x(3, 5, dtype="bool"),), {"to": (1, 6, 7)}), Row("CastLike", (WIDE, k(0, "int64"))),
    Row("Dropout", (x(3, 5),), {"ratio": (None, 0.3)}, until=11), Row("Dropout", (x(3, 5), k(0.3)), since=12),
    Row("Dropout", (x(3, 5), k(0.3), k(True, "bool")), since=12),
    # looking up
    Row("Gather", (x(5, 4), ints(3, 0, 2)), {"axis": (None,)}), Row("Gather", (x(5, 4), k(2, "int64")), {"axis": (0, 1)}),
    Row("Gather", (x(5, 4), k([[1, -1], [0, 2]], "int64")), {"axis": (1,)}, 11),
    Row("GatherElements", (x(3, 4), k([[0, 2, 1, 0], [1, 0, -1, 2]], "int64")), {"axis": (None,)}),
    Row("GatherElements", (x(3, 4), k([[0], [3], [-1]], "int64")), {"axis": (1,)}),
    Row("GatherND", (x(3, 4, 2), k([[0, 1], [2, 3]], "int64"))),
    Row("GatherND", (x(3, 4, 2), k([[1], [3], [0]], "int64")), {"batch_dims": (1,)}, 12),
    Row("Scatter", (x(3, 4), k([[1, 0, 2, 0]], "int64"), x(1, 4)), {"axis": (None,)}, until=10),
    Row("ScatterElements", (x(3, 4), k([[1, 0, 2, 0]], "int64"), x(1, 4)), {"axis": (None, 0)}),
    Row("ScatterElements", (x(3, 4), k([[1, 1, 2, 0]], "int64"), x(1, 4)), {"reduction": ("add", "mul")}, 16),
    Row("ScatterElements", (x(3, 4), k([[1, 1, 2, 0]], "int64"), x(1, 4)), {"reduction": ("max", "min")}, 18),
    Row("ScatterND", (x(4, 3), k([[1], [3]], "int64"), x(2, 3))),
    Row("ScatterND", (x(4, 3), k([[1], [1]], "int64"), x(2, 3)), {"reduction": ("add", "mul")}, 16),
    Row("OneHot", (x(4, low=0, high=3, dtype="int64"), k(3, "int64"), k([0.0, 2.0])), {"axis": (None, 0, 1)}, 9),
    Row("OneHot", (x(4, low=-3, high=3, dtype="int64"), k(3, "int64"), k([0.0, 2.0])), {}, 11),
    Row("Compress", (x(3, 4), k([True, False, True], "bool")), {"axis": (None, 0)}),
    Row("TopK", (x(3, 9),), {"k": (3,), "axis": (None, 0)}, until=9, outputs=2),
    Row("TopK", (x(3, 9), ints(3)), {"axis": (None, 0, 1)}, 10, outputs=2),
    Row("TopK", (x(3, 9), ints(3)), {"largest": (0, 1), "sorted": (1,)}, 11, outputs=2),
    Row("CumSum", (x(3, 5), k(1, "int64")), {"exclusive": (None, 1), "reverse": (None, 1)}),
    Row("Einsum", (x(2, 3), x(3, 4)), {"equation": ("ij,jk->ik", "ij,jk->ki")}),
    Row("Einsum", (x(2, 3, 4), x(2, 4, 5)), {"equation": ("bij,bjk->bik", "...ij,...jk->...ik")}),
    Row("NonZero", (x(3, 5),)), Row("Unique", (x(7, low=0, high=4),)), Row("Shape", (x(3, 5),)), Row("Size", (x(3, 5),)),
    Row("EyeLike", (x(3, 5),)), Row("ConstantOfShape", (ints(2, 3),)), Row("Range", (k(0.0), k(5.0), k(1.0))),
    # reductions
    *(Row(op, (x(2, 3, 4, low=0.2),), {"axes": (None, [1], [-1, 0]), "keepdims": (None, 0)}, until=12 if op == "ReduceSum" else 17)
      for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
                 "ReduceLogSumExp", "ReduceSumSquare")),
    *(Row(op, (x(2, 3, 4, low=0.2), axes), {"keepdims": (None, 0), "noop_with_empty_axes": (None, 1)}, 13 if op == "ReduceSum" else 18)
      for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
                 "ReduceLogSumExp", "ReduceSumSquare") for axes in (None, ints(), ints(1), ints(-1, 0))),
    Row("ReduceMean", (IMAGE,), {"axes": ([2, 3],), "keepdims": (None, 0)}, until=17),
    Row("ReduceMean", (IMAGE, ints(2, 3)), {"keepdims": (None, 0)}, 18),
    *(Row(op, (x(3, 5, specials=(1, 3, 3, 0, 3)),), {"axis": (None, 1), "keepdims": (None, 0)}) for op in ("ArgMax", "ArgMin")),
    *(Row(op, (x(3, 5, specials=(1, 3, 3, 0, 3)),), {"axis": (1,), "select_last_index": (0, 1)}, 12) for op in ("ArgMax", "ArgMin")),
    # products
    Row("MatMul", (x(3, 4), weight(4, 5))), Row("MatMul", (x(4), weight(4, 5))), Row("MatMul", (x(3, 4), weight(4))),
    Row("MatMul", (x(2, 3, 4), x(2, 4, 5))), Row("MatMul", (x(2, 1, 3, 4), x(5, 4, 2))), Row("MatMul", (weight(3, 4), x(4, 5))),
    Row("MatMul", (x(4), x(4))), Row("MatMul", (x(2, 3, 4), weight(2, 4, 5))),
    *(Row("Gemm", (x(*((4, 3) if ta else (3, 4))), weight(*((5, 4) if tb else (4, 5))), c),
          {"transA": (ta,), "transB": (tb,), "alpha": (None, 0.5), "beta": (None, 2.0)})
      for ta in (0, 1) for tb in (0, 1) for c in (weight(5), weight(3, 5), weight(3, 1))),
    Row("Gemm", (x(3, 4), weight(4, 5)), {}, 11), Row("Gemm", (x(3, 4), x(4, 5), x(5))),
    Row("MatMulInteger", (x(3, 4, low=0, high=200, dtype="uint8"), k(np.arange(20).reshape(4, 5), "uint8"))),
    # convolutions and pools
    Row("Conv", (IMAGE, weight(4, 6, 3, 3)), {"strides": (None, [2, 1]), "dilations": (None, [2, 1]), "pads": (None, [1, 0, 2, 1])}),
    Row("Conv", (IMAGE, weight(4, 6, 3, 2), weight(4)), {"strides": (None, [2, 3]), "auto_pad": ("SAME_UPPER", "SAME_LOWER", "VALID")}),
    Row("Conv", (IMAGE, weight(6, 1, 3, 3), weight(6)), {"group": (6,), "pads": ([1, 1, 1, 1],)}),
    Row("Conv", (IMAGE, weight(4, 3, 3, 3)), {"group": (2,), "strides": (None, [2, 2])}),
    Row("Conv", (x(2, 3, 11), weight(4, 3, 3)), {"strides": (None, [2]), "pads": (None, [1, 2]), "dilations": (None, [2])}),
    Row("Conv", (x(1, 2, 5, 6, 4), weight(3, 2, 3, 2, 2)), {"pads": (None, [1, 0, 1, 0, 1, 0])}),
    Row("Conv", (IMAGE, x(4, 6, 3, 3))),
    Row("ConvTranspose", (x(1, 6, 5, 4), weight(6, 4, 3, 3)),
        {"strides": (None, [2, 3]), "dilations": (None, [2, 1]), "output_padding": (None, [1, 0]), "pads": (None, [1, 0, 0, 1])}),
    Row("ConvTranspose", (x(1, 6, 5, 4), weight(6, 2, 2, 2), weight(4)), {"group": (2,), "strides": ([2, 2], [1, 2])}),
    Row("ConvTranspose", (x(1, 6, 5, 4), weight(6, 4, 2, 2), weight(4)), {"strides": ([2, 2], [3, 3])}),
    Row("ConvTranspose", (x(1, 6, 5, 4), weight(6, 4, 3, 3)),
        {"strides": ([2, 2],), "output_shape": ([10, 8], [9, 9], [11, 9]), "auto_pad": (None, "SAME_UPPER", "SAME_LOWER")}),
    Row("ConvTranspose", (x(1, 6, 5, 4), weight(6, 4, 3, 3)), {"strides": ([2, 2],), "auto_pad": ("SAME_UPPER", "SAME_LOWER", "VALID")}),
    Row("ConvTranspose", (x(2, 3, 7), weight(3, 2, 3)), {"strides": (None, [2]), "pads": (None, [1, 0])}),
    Row("ConvTranspose", (x(1, 2, 3, 4, 3), weight(2, 2, 2, 2, 3)), {"strides": (None, [2, 1, 2])}),
    *(Row(op, (IMAGE,), {"kernel_shape": ([3, 2],), "strides": (None, [2, 2]), "pads": (None, [1, 0, 1, 1])}) for op in ("MaxPool", "AveragePool")),
    *(Row(op, (IMAGE,), {"kernel_shape": ([3, 2],), "strides": ([2, 3],), "auto_pad": ("SAME_UPPER", "SAME_LOWER", "VALID")})
      for op in ("MaxPool", "AveragePool", "LpPool")),
    *(Row(op, (IMAGE,), {"kernel_shape": ([3, 2],), "strides": ([2, 2],), "ceil_mode": (1,), "pads": (None, [1, 1, 1, 1])}, 10)
      for op in ("MaxPool", "AveragePool")),
    Row("AveragePool", (IMAGE,), {"kernel_shape": ([3, 2],), "pads": ([1, 1, 1, 0],), "count_include_pad": (0, 1)}),
    Row("AveragePool", (IMAGE,), {"kernel_shape": ([3, 2],), "pads": ([1, 1, 1, 1],), "strides": ([2, 2],), "count_include_pad": (0, 1), "ceil_mode": (1,)}, 10),
    Row("AveragePool", (IMAGE,), {"kernel_shape": ([2, 2],), "dilations": ([2, 1],)}, 19),
    Row("MaxPool", (IMAGE,), {"kernel_shape": ([2, 2],), "dilations": ([2, 1],), "pads": (None, [0, 1, 1, 0])}, 10),
    Row("MaxPool", (IMAGE,), {"kernel_shape": ([2, 2],), "storage_order": (None, 1)}, 8, outputs=2),
    *(Row(op, (x(2, 3, 11),), {"kernel_shape": ([3],), "strides": (None, [2]), "pads": (None, [1, 1])}) for op in ("MaxPool", "AveragePool")),
    *(Row(op, (x(1, 2, 5, 6, 4),), {"kernel_shape": ([2, 3, 2],), "strides": (None, [2, 1, 2])}) for op in ("MaxPool", "AveragePool")),
    Row("LpPool", (IMAGE,), {"kernel_shape": ([3, 2],), "p": (None, 1, 3), "strides": (None, [2, 1]), "pads": (None, [1, 0, 1, 1])}),
    Row("LpPool", (IMAGE,), {"kernel_shape": ([2, 2],), "dilations": ([2, 1],), "ceil_mode": (None, 1)}, 18),
    Row("GlobalLpPool", (IMAGE,), {"p": (None, 1, 3)}),
    Row("MaxUnpool", (x(1, 1, 2, 2), k([[[[5, 7], [13, 15]]]], "int64")), {"kernel_shape": ([2, 2],), "strides": ([2, 2],)}),
    Row("MaxRoiPool", (x(1, 2, 8, 8), k([[0, 0, 0, 5, 4], [0, 1, 1, 6, 7]])), {"pooled_shape": ([2, 2],), "spatial_scale": (None, 0.5)}),
    Row("RoiAlign", (x(2, 2, 8, 8), ROI, ints(0, 1, 1)),
        {"mode": (None, "avg", "max"), "sampling_ratio": (None, 2), "spatial_scale": (None, 0.5), "output_height": (2,), "output_width": (3,)}),
    Row("RoiAlign", (x(2, 2, 8, 8), ROI, ints(0, 1, 1)), {"coordinate_transformation_mode": ("half_pixel", "output_half_pixel"), "output_height": (2,)}, 16),
    # normalisations
    Row("BatchNormalization", (IMAGE, weight(6), weight(6), weight(6), np.abs(weight(6)) + k(0.5)), {"epsilon": (None, 0.1), "momentum": (None, 0.5)}),
    Row("BatchNormalization", (x(3, 6), weight(6), weight(6), weight(6), np.abs(weight(6)) + k(0.5))),
    Row("BatchNormalization", (IMAGE, weight(6), weight(6), weight(6), np.abs(weight(6)) + k(0.5)), {"training_mode": (1,)}, 14, outputs=3),
    Row("LayerNormalization", (x(2, 3, 8), weight(8), weight(8)), {"axis": (None, -1, 2), "epsilon": (None, 0.1)}),
    Row("LayerNormalization", (x(2, 3, 8), weight(3, 8), weight(3, 8)), {"axis": (1, -2)}), Row("LayerNormalization", (x(2, 3, 8), weight(8))),
    Row("LayerNormalization", (x(2, 3, 8), weight(8), weight(8)), outputs=3),
    Row("RMSNormalization", (x(2, 3, 8), weight(8)), {"axis": (None, -1), "epsilon": (None, 0.1)}),
    Row("GroupNormalization", (IMAGE, weight(3), weight(3)), {"num_groups": (3,), "epsilon": (None, 0.1)}, 18, 20),
    Row("GroupNormalization", (IMAGE, weight(6), weight(6)), {"num_groups": (1, 3, 6), "epsilon": (None, 0.1)}, 21),
    Row("InstanceNormalization", (IMAGE, weight(6), weight(6)), {"epsilon": (None, 0.1)}), Row("InstanceNormalization", (x(2, 3, 9), weight(3), weight(3))),
    Row("MeanVarianceNormalization", (IMAGE,), {"axes": (None, [2, 3], [1])}),
    Row("LRN", (IMAGE,), {"size": (3, 5), "alpha": (None, 0.01), "beta": (None, 0.5), "bias": (None, 2.0)}), Row("LRN", (IMAGE,), {"size": (2, 4)}),
    # resizing
    Row("Upsample", (x(1, 2, 3, 4),), {"scales": ([1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 1.5, 2.0]), "mode": (None, "linear")}, until=8),
    *(Row("Upsample", (x(1, 2, 3, 4), k(s)), {"mode": (None, "linear")}, 9, 9) for s in ([1, 1, 2, 2], [1, 1, 1.5, 2])),
    *(Row("Resize", (x(1, 2, 4, 6), k(s)), {"mode": (None, "linear")}, 10, 10) for s in ([1, 1, 2, 2], [1, 1, 0.5, 1.5])),
    *(Row("Resize", (x(1, 2, 4, 6), k([], "float32"), k(s)),
          {"mode": (mode,), "coordinate_transformation_mode": (None, "align_corners", "asymmetric", "pytorch_half_pixel"), **extra}, 11)
      for s in ([1, 1, 2, 2], [1, 1, 0.6, 1.7])
      for mode, extra in (("nearest", {"nearest_mode": (None, "floor", "ceil", "round_prefer_ceil")}), ("linear", {}),
                          ("cubic", {"cubic_coeff_a": (None, -0.5), "exclude_outside": (None, 1)}))),
    Row("Resize", (x(1, 2, 4, 6), None, None, ints(1, 2, 7, 5)), {"mode": ("nearest", "linear", "cubic")}, 13),
    Row("Resize", (x(1, 2, 4, 6), k([0, 0, 0.1, 0.2, 1, 1, 0.9, 1.3]), None, ints(1, 2, 5, 5)),
        {"mode": ("nearest", "linear"), "coordinate_transformation_mode": ("tf_crop_and_resize",), "extrapolation_value": (None, 9.0)}, 13),
    *(Row("Resize", (x(1, 2, 8, 6), None, k(s)), {"mode": ("linear", "cubic"), "antialias": (0, 1)}, 18) for s in ([1, 1, 0.5, 0.5], [1, 1, 0.4, 2])),
    Row("Resize", (x(1, 2, 4, 6), None, None, ints(7, 8)), {"mode": ("nearest", "linear"), "axes": ([2, 3], [3, 2]),
                                                            "keep_aspect_ratio_policy": (None, "not_larger", "not_smaller")}, 18),
    Row("Resize", (x(1, 2, 4, 6), None, k([1, 1, 0.6, 1.7])), {"mode": ("linear", "cubic"), "coordinate_transformation_mode": ("half_pixel_symmetric",)}, 19),
    Row("Resize", (x(2, 4, 6), None, k([1, 1, 2])), {"mode": ("nearest", "linear")}, 13),
    Row("GridSample", (x(1, 2, 5, 6), x(1, 3, 4, 2, low=-1.2, high=1.2)),
        {"mode": (None, "bilinear", "nearest", "bicubic"), "padding_mode": (None, "border", "reflection"), "align_corners": (None, 1)}, 16, 19),
    Row("GridSample", (x(1, 2, 5, 6), x(1, 3, 4, 2, low=-1.2, high=1.2)),
        {"mode": (None, "linear", "nearest", "cubic"), "padding_mode": (None, "border", "reflection"), "align_corners": (None, 1)}, 20),
    Row("AffineGrid", (x(2, 2, 3), ints(2, 3, 4, 5)), {"align_corners": (None, 1)}),
    Row("Attention", (x(1, 2, 4, 8), x(1, 2, 6, 8), x(1, 2, 6, 8)), {"scale": (None, 0.3), "is_causal": (None, 1), "softcap": (None, 2.0)}),
    Row("NonMaxSuppression", (x(1, 6, 4, low=0, high=1), x(1, 1, 6, low=0, high=1), k([3], "int64"), k([0.5]))),
    # quantisation
    *(Row("QuantizeLinear", (IMAGE, k(0.05), zero)) for zero in (None, k(7, "int8"), k(120, "uint8"))),
    Row("QuantizeLinear", (IMAGE, np.abs(weight(6)) / 9 + k(0.02), k([3] * 6, "uint8")), {"axis": (None, 1, -3)}, 13),
    Row("QuantizeLinear", (IMAGE, np.abs(weight(7)) / 9 + k(0.02), k([3] * 7, "int8")), {"axis": (3,)}, 13),
    Row("QuantizeLinear", (IMAGE, k(0.05)), {"output_dtype": (3, 4, 5)}, 21),
    *(Row("DequantizeLinear", (x(2, 6, 3, low=-100, high=100, dtype="int8"), k(0.05), zero)) for zero in (None, k(7, "int8"))),
    Row("DequantizeLinear", (x(2, 6, 3, low=0, high=250, dtype="uint8"), np.abs(weight(6)) + k(0.02), k([3] * 6, "uint8")), {"axis": (None, 1)}, 13),
    Row("DequantizeLinear", (x(2, 6, 3, low=-100, high=100, dtype="int8"), np.abs(weight(2, 3, 3)) + k(0.02), k(np.ones((2, 3, 3)), "int8")),
        {"axis": (1,), "block_size": (2,)}, 21),
    Row("DynamicQuantizeLinear", (x(3, 17),), {}, outputs=3),
]  # fmt: skip

ELSEWHERE = {
    **dict.fromkeys(("FastGelu", "BiasGelu", "SkipLayerNormalization", "EmbedLayerNormalization", "AllClassNMS",
                     "MatMulInteger16"), "an operator of another domain, refused by its name"),
    **dict.fromkeys(("Optional", "OptionalHasElement", "OptionalGetElement", "SequenceConstruct", "SequenceEmpty",
                     "SequenceErase", "SequenceInsert", "SequenceLength", "ConcatFromSequence", "SplitToSequence",
                     "SequenceAt"), "no tensor, refused by its type"),
    "Constant": "always folded",
}  # fmt: skip
"""Operators of the importer that the table does not hold, and why."""
