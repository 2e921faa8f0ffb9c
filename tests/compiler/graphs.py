"""Small ONNX graphs with random weights whose outputs do not vanish."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

DTYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "float16": TensorProto.FLOAT16}


class Net:
    """Builds a graph node by node; tensors are names."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, *shape: int, dtype: str = "float32") -> str:
        self.inputs.append(helper.make_tensor_value_info(name, DTYPES[dtype], shape))
        return name

    def const(self, value: Any, dtype: str = "float32") -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def op(self, kind: str, *inputs: str, **attrs: Any) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attrs))
        return name

    def conv(
        self, x: str, i: int, o: int, k: int = 1, s: int = 1, groups: int = 1, bias: bool = True, **attrs: Any
    ) -> str:
        fan_in = i // groups * k * k
        weight = self.const(self.rng.standard_normal((o, i // groups, k, k)) * (2 / fan_in) ** 0.5)
        operands = [x, weight] + ([self.const(self.rng.standard_normal(o) * 0.2)] if bias else [])
        pads = attrs.pop("pads", [k // 2] * 4)
        return self.op("Conv", *operands, kernel_shape=[k, k], strides=[s, s], pads=pads, group=groups, **attrs)

    def batch_norm(self, x: str, c: int) -> str:
        values = [self.rng.uniform(0.7, 1.3, c), self.rng.normal(0, 0.2, c), self.rng.normal(0, 0.2, c)]
        return self.op(
            "BatchNormalization", x, *(self.const(v) for v in values), self.const(self.rng.uniform(0.5, 2, c))
        )

    def linear(self, x: str, i: int, o: int) -> str:
        weight = self.const(self.rng.standard_normal((o, i)) * (2 / i) ** 0.5)
        return self.op("Gemm", x, weight, self.const(self.rng.standard_normal(o) * 0.2), transB=1)

    def act(self, x: str, kind: str) -> str:
        if kind == "relu6":
            return self.op("Clip", x, self.const(0.0), self.const(6.0))
        if kind == "swish":
            return self.op("Mul", x, self.op("Sigmoid", x))
        return self.op(kind, x)

    def squeeze_excite(self, x: str, c: int, r: int) -> str:
        pooled = self.op("GlobalAveragePool", x)
        hidden = self.act(self.conv(pooled, c, r), "Relu")
        return self.op("Mul", x, self.op("HardSigmoid", self.conv(hidden, r, c), alpha=1 / 6, beta=0.5))

    def mbconv(
        self, x: str, i: int, o: int, expand: int, k: int, s: int, act: str = "HardSwish", se: bool = False
    ) -> str:
        wide, y = i * expand, x
        if expand > 1:
            y = self.act(self.batch_norm(self.conv(y, i, wide, bias=False), wide), act)
        y = self.act(self.batch_norm(self.conv(y, wide, wide, k, s, groups=wide, bias=False), wide), act)
        if se:
            y = self.squeeze_excite(y, wide, max(4, wide // 4))
        y = self.batch_norm(self.conv(y, wide, o, bias=False), o)
        return self.op("Add", x, y) if i == o and s == 1 else y

    def head(self, x: str, c: int, classes: int = 10) -> str:
        return self.linear(self.op("Flatten", self.op("GlobalAveragePool", x)), c, classes)

    def model(self, *outputs: str, opset: int = 20) -> onnx.ModelProto:
        infos = [helper.make_empty_tensor_value_info(name) for name in outputs]
        graph = helper.make_graph(self.nodes, "net", self.inputs, infos, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        onnx.checker.check_model(inferred)
        return inferred


def mobile(batch: int = 1, channels: int = 3, size: int = 32) -> onnx.ModelProto:
    """Stem, MBConv blocks with and without residual and squeeze-excite, every common activation, a head."""
    net = Net()
    x = net.input("image", batch, channels, size, size)
    x = net.act(net.batch_norm(net.conv(x, channels, 16, 3, 2, bias=False), 16), "HardSwish")
    x = net.mbconv(x, 16, 16, 1, 3, 1, "Relu", se=True)
    x = net.mbconv(x, 16, 24, 4, 5, 2, "relu6")
    x = net.mbconv(x, 24, 24, 3, 3, 1, "swish", se=True)
    x = net.mbconv(x, 24, 40, 3, 3, 2, "HardSwish")
    return net.model(net.head(net.act(net.conv(x, 40, 72), "HardSwish"), 72))


def sensor() -> onnx.ModelProto:
    """uint8 image, resized and normalised inside, ending in a quantised feature."""
    net = Net(1)
    x = net.op("Cast", net.input("image", 1, 3, 40, 30, dtype="uint8"), to=TensorProto.FLOAT)
    x = net.op(
        "Resize", x, "", "", net.const([1, 3, 32, 32], "int64"),
        mode="linear", coordinate_transformation_mode="half_pixel",
    )  # fmt: skip
    x = net.op("Sub", net.op("Div", x, net.const(255.0)), net.const(np.array([0.4, 0.45, 0.5]).reshape(1, 3, 1, 1)))
    x = net.op("Div", x, net.const(np.array([0.2, 0.22, 0.24]).reshape(1, 3, 1, 1)))
    x = net.act(net.conv(x, 3, 16, 3, 2), "HardSwish")
    x = net.conv(net.mbconv(x, 16, 24, 3, 3, 2), 24, 12)
    x = net.op("Add", net.op("Round", net.op("Div", x, net.const(0.05))), net.const(100.0))
    x = net.op("Clip", x, net.const(0.0), net.const(255.0))
    return net.model(net.op("Cast", x, to=TensorProto.UINT8))


def aggregator(views: int) -> onnx.ModelProto:
    """Dequantises one feature per view, fuses them by concatenation and a 1x1 convolution, classifies."""
    net = Net(2)
    features = []
    for v in range(views):
        x = net.op("Cast", net.input(f"view{v}", 1, 12, 8, 8, dtype="uint8"), to=TensorProto.FLOAT)
        features.append(net.op("Mul", net.op("Sub", x, net.const(100.0)), net.const(0.05)))
    x = net.op("Concat", *features, axis=1) if views > 1 else features[0]
    x = net.act(net.conv(x, 12 * views, 40), "HardSwish")
    return net.model(net.head(net.mbconv(x, 40, 40, 3, 5, 1, "swish", se=True), 40))


def batched_views() -> onnx.ModelProto:
    """Two views as a batch through one prefix, regrouped into channels, fused."""
    net = Net(3)
    x = net.act(net.conv(net.input("views", 2, 1, 24, 24), 1, 16, 3, 2), "Relu")
    x = net.mbconv(x, 16, 24, 3, 3, 2)
    x = net.op("Reshape", x, net.const([1, 48, 6, 6], "int64"))
    return net.model(net.head(net.act(net.conv(x, 48, 32), "HardSwish"), 32))


def residual() -> onnx.ModelProto:
    """Basic residual blocks, one with a projected shortcut, behind a 7x7 stem and a max pool."""
    net = Net(4)
    x = net.act(net.conv(net.input("x", 1, 3, 40, 40), 3, 16, 7, 2), "Relu")
    x = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    y = net.conv(net.act(net.conv(x, 16, 16, 3), "Relu"), 16, 16, 3)
    x = net.act(net.op("Add", y, x), "Relu")
    y = net.conv(net.act(net.conv(x, 16, 32, 3, 2), "Relu"), 32, 32, 3)
    return net.model(net.head(net.act(net.op("Add", y, net.conv(x, 16, 32, 1, 2)), "Relu"), 32))


def inception() -> onnx.ModelProto:
    """Branches of awkward widths on an odd-sized plane, concatenated; nested average pool."""
    net = Net(5)
    x = net.act(net.conv(net.input("x", 1, 3, 15, 15), 3, 20, 3), "Relu")
    for widths in ((16, 24, 8, 16), (10, 21, 12, 5)):
        i = 20 if widths[0] == 16 else 64
        branches = [
            net.act(net.conv(x, i, widths[0]), "Relu"),
            net.act(net.conv(net.conv(x, i, 9), 9, widths[1], 3), "Relu"),
            net.conv(net.act(net.conv(x, i, 8), "Relu"), 8, widths[2], 5),
            net.conv(net.op("MaxPool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1]), i, widths[3]),
        ]
        x = net.op("Concat", *branches, axis=1)
    x = net.op("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    return net.model(net.linear(net.op("Flatten", x), 48 * 64, 10))


def dense() -> onnx.ModelProto:
    """Densely connected layers: each reads the concatenation of all before it, through its own batch norm."""
    net = Net(6)
    x = net.conv(net.input("x", 1, 1, 14, 14), 1, 16, 3)
    for c in (16, 28, 40):
        x = net.op("Concat", x, net.conv(net.act(net.batch_norm(x, c), "Relu"), c, 12, 3), axis=1)
    x = net.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    return net.model(net.head(net.act(net.batch_norm(x, 52), "Relu"), 52))


def shuffle() -> onnx.ModelProto:
    """Channel split, grouped and depthwise convolutions, channel shuffle by reshape and transpose."""
    net = Net(7)
    x = net.act(net.conv(net.input("x", 1, 3, 24, 24), 3, 32, 3, 2), "Relu")
    for _ in range(2):
        left = net.op("Slice", x, net.const([0], "int64"), net.const([16], "int64"), net.const([1], "int64"))
        right = net.op("Slice", x, net.const([16], "int64"), net.const([32], "int64"), net.const([1], "int64"))
        right = net.conv(net.conv(net.act(net.conv(right, 16, 16, 3, groups=4), "Relu"), 16, 16, 3, groups=16), 16, 16)
        x = net.op("Concat", left, net.act(right, "Relu"), axis=1)
        x = net.op("Transpose", net.op("Reshape", x, net.const([1, 2, 16, 12, 12], "int64")), perm=[0, 2, 1, 3, 4])
        x = net.op("Reshape", x, net.const([1, 32, 12, 12], "int64"))
    return net.model(net.head(x, 32))


def attention() -> onnx.ModelProto:
    """Patch embedding and one transformer block."""
    net = Net(8)
    tokens, width, heads = 16, 24, 2
    x = net.conv(net.input("x", 1, 3, 16, 16), 3, width, 4, 4, pads=[0] * 4)
    x = net.op("Transpose", net.op("Reshape", x, net.const([1, width, tokens], "int64")), perm=[0, 2, 1])

    def norm(y: str) -> str:
        return net.op(
            "LayerNormalization",
            y,
            net.const(net.rng.uniform(0.8, 1.2, width)),
            net.const(net.rng.normal(0, 0.1, width)),
        )

    def project(y: str, i: int, o: int) -> str:
        product = net.op("MatMul", y, net.const(net.rng.standard_normal((i, o)) / i**0.5))
        return net.op("Add", product, net.const(net.rng.normal(0, 0.1, o)))

    def split(y: str, perm: Sequence[int]) -> str:
        shaped = net.op("Reshape", y, net.const([1, tokens, heads, width // heads], "int64"))
        return net.op("Transpose", shaped, perm=list(perm))

    y = norm(x)
    q, k, v = (split(project(y, width, width), p) for p in ((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3)))
    scores = net.op("Softmax", net.op("Mul", net.op("MatMul", q, k), net.const((width // heads) ** -0.5)), axis=-1)
    y = net.op("Transpose", net.op("MatMul", scores, v), perm=[0, 2, 1, 3])
    x = net.op("Add", x, project(net.op("Reshape", y, net.const([1, tokens, width], "int64")), width, width))
    y = net.op("Gelu", project(norm(x), width, 2 * width))
    x = net.op("Add", x, project(y, 2 * width, width))
    x = net.op("ReduceMean", x, net.const([1], "int64"), keepdims=0)
    return net.model(net.linear(x, width, 10))


def awkward() -> onnx.ModelProto:
    """Asymmetric padding, dilation, stride 3, widths that are no multiple of anything, two outputs."""
    net = Net(9)
    x = net.act(net.conv(net.input("x", 1, 2, 19, 23), 2, 13, 3, 1, pads=[0, 1, 2, 1]), "LeakyRelu")
    x = net.act(net.conv(x, 13, 13, 3, 1, groups=13, dilations=[2, 2], pads=[2, 2, 2, 2]), "Tanh")
    y = net.op("Sqrt", net.op("Abs", net.conv(x, 13, 7, 5, 3)))
    z = net.op("Mul", net.op("Add", y, net.const(net.rng.normal(size=(7, 1, 1)))), y)
    return net.model(net.head(z, 7), z)


GRAPHS: dict[str, Callable[[], onnx.ModelProto]] = {
    "mobile": mobile,
    "mobile batch 2, grey": lambda: mobile(2, 1),
    "sensor": sensor,
    "aggregator": lambda: aggregator(1),
    "aggregator of two views": lambda: aggregator(2),
    "batched views": batched_views,
    "residual": residual,
    "inception": inception,
    "dense": dense,
    "shuffle": shuffle,
    "attention": attention,
    "awkward": awkward,
}


def random_inputs(model: onnx.ModelProto, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Inputs of the graph's shapes and dtypes."""
    rng = np.random.default_rng(seed)
    found: dict[str, NDArray[Any]] = {}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        shape = [d.dim_value for d in tensor.shape.dim]
        if tensor.elem_type == TensorProto.UINT8:
            found[value.name] = rng.integers(0, 256, shape).astype(np.uint8)
        else:
            found[value.name] = rng.standard_normal(shape).astype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    return found
