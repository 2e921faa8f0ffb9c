"""What a kernel should compute, in double precision, and random specifications to compute it for."""

from random import Random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from splitkit.compiler.codegen.activation import reference as activation
from splitkit.compiler.library import Library, operands, unpack
from splitkit.compiler.machine import Machine, block_for
from splitkit.compiler.spec import Activation, ConvSpec, Epilogue, LayoutSpec, LinearSpec, PoolSpec, Spec

Tensors = dict[str, NDArray[Any]]
TOLERANCE = 1e-4
VANISHING = 1e-3
ACTIVATIONS = (
    None,
    Activation("relu"),
    Activation("clip", low=0.0, high=6.0),
    Activation("clip", low=0.25, high=2.0),
    Activation("hard_swish"),
    Activation("hard_sigmoid", alpha=0.2, beta=0.5),
    Activation("swish"),
    Activation("sigmoid"),
    Activation("tanh"),
    Activation("gelu"),
    Activation("leaky_relu", alpha=0.1),
)


def tensors(spec: Spec, seed: int) -> Tensors:
    """Random NCHW inputs, weights scaled so that outputs are of order one."""
    rng = np.random.default_rng(seed)
    match spec:
        case ConvSpec():
            shape = (spec.out_channels, spec.in_channels // spec.groups, *spec.kernel)
            return {
                "x": rng.standard_normal((spec.batch, spec.in_channels, *spec.size)),
                "scale": rng.uniform(0.2, 1.0, (spec.batch, spec.in_channels)),
                "weight": rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:])),
                "bias": rng.standard_normal(spec.out_channels),
                "residual": rng.standard_normal((spec.batch, spec.out_channels, *spec.out_size)),
            }
        case LinearSpec():
            return {
                "x": rng.standard_normal((spec.batch, spec.in_features)),
                "weight": rng.standard_normal((spec.out_features, spec.in_features)) / np.sqrt(spec.in_features),
                "bias": rng.standard_normal(spec.out_features),
            }
        case PoolSpec() | LayoutSpec():
            return {"x": rng.standard_normal((spec.batch, spec.channels, *spec.size))}


def expected(spec: Spec, given: Tensors) -> NDArray[Any]:
    """The kernel's output, NCHW (linear: (N, out)), float64."""
    t = {name: torch.from_numpy(value) for name, value in given.items()}
    match spec:
        case ConvSpec():
            top, left, bottom, right = spec.padding
            x = t["x"] * t["scale"][:, :, None, None] if spec.input_scale else t["x"]
            padded = F.pad(x, (left, right, top, bottom))
            y = F.conv2d(padded, t["weight"], None, spec.stride, 0, spec.dilation, spec.groups)
            y = y + t["bias"][:, None, None] if spec.epilogue.bias else y
            y = _activated(spec.epilogue.activation, y)
            y = y + t["residual"] if spec.epilogue.residual else y
            return _activated(spec.epilogue.residual_activation, y).numpy()
        case LinearSpec():
            y = F.linear(t["x"], t["weight"], t["bias"] if spec.epilogue.bias else None)
            return _activated(spec.epilogue.activation, y).numpy()
        case PoolSpec(mode="global_avg"):
            return t["x"].mean((2, 3), keepdim=True).numpy()
        case PoolSpec():
            return _pooled(spec, t["x"]).numpy()
        case LayoutSpec():
            return given["x"]


def _pooled(spec: PoolSpec, x: torch.Tensor) -> torch.Tensor:
    top, left, bottom, right = spec.padding
    fill = -torch.inf if spec.mode == "max" else 0.0
    padded = F.pad(x, (left, right, top, bottom), value=fill)
    if spec.mode == "max":
        return F.max_pool2d(padded, spec.kernel, spec.stride)
    total = F.avg_pool2d(padded, spec.kernel, spec.stride)
    if spec.count_include_pad:
        return total
    return total / F.avg_pool2d(F.pad(torch.ones_like(x), (left, right, top, bottom)), spec.kernel, spec.stride)


def _activated(act: Activation | None, x: torch.Tensor) -> torch.Tensor:
    if act is None:
        return x
    flat = [activation(act, float(value)) for value in x.reshape(-1)]
    return torch.tensor(flat, dtype=torch.float64).reshape(x.shape)


def error(library: Library, index: int, seed: int) -> float:
    """Largest error of one kernel relative to the largest output; infinite if a padding channel is not zero."""
    spec = library.specs[index]
    draws = (tensors(spec, seed + 1000 * attempt) for attempt in range(10))
    # A single negative value behind a ReLU would agree with anything: draw again.
    given, want = next(
        pair for pair in ((given, expected(spec, given)) for given in draws) if np.abs(pair[1]).max() > VANISHING
    )
    got = library.run(index, operands(spec, library.machine, given))
    if got.ndim == 5:
        every = unpack(got, got.shape[1] * got.shape[4])
        got, padding = every[:, : want.shape[1]], every[:, want.shape[1] :]
        if padding.any() or np.isnan(padding).any():
            return float("inf")
    return float(np.nan_to_num(np.abs(got - want), nan=np.inf).max() / np.abs(want).max())


def random_spec(random: Random, machine: Machine) -> Spec:
    """A kernel of a random family with awkward sizes."""
    family = random.choices(
        ("pointwise", "dense", "depthwise", "grouped", "linear", "pool", "layout"), (5, 5, 6, 3, 2, 3, 2)
    )[0]
    if family == "linear":
        return LinearSpec(
            random.choice((1, 1, 2, 5)), random.randint(1, 150), random.randint(1, 260), _epilogue(random, False)
        )
    size = (random.randint(1, 19), random.randint(1, 35))
    batch = random.choice((1, 1, 1, 2))
    if family == "layout":
        channels = random.randint(1, 50)
        blocks = (1, random.choice((4, 8, 16))) if random.random() < 0.8 else random.choices((1, 4, 8, 16), k=2)
        return LayoutSpec(batch, channels, size, *random.sample(blocks, 2))
    if family == "pool":
        return _pool(random, batch, size, machine)
    return _conv(random, family, batch, size, machine)


def _conv(random: Random, family: str, batch: int, size: tuple[int, int], machine: Machine) -> ConvSpec:
    groups = 1
    inputs, outputs = (random.choice((1, 3, 8, 12, 16, 20, 24, 40, 48, random.randint(1, 70))) for _ in range(2))
    if family == "depthwise":
        outputs = groups = inputs
    if family == "grouped":
        groups = random.choice((2, 3, 4, 8))
        inputs, outputs = (groups * random.choice((1, 4, 8, 16, random.randint(1, 24))) for _ in range(2))
    in_block = block_for(inputs, machine) if random.random() < 0.9 else random.choice((1, 4, 8, 16))
    kernel = stride = dilation = (1, 1)
    padding = (0, 0, 0, 0)
    if family == "pointwise":
        stride = random.choice(((1, 1), (1, 1), (2, 2)))
    else:
        kernel = random.choice(((3, 3), (3, 3), (5, 5), (1, 3), (3, 1), (2, 2), (7, 7)))
        stride = random.choice(((1, 1), (2, 2), (3, 3), (1, 2)))
        dilation = random.choice(((1, 1), (1, 1), (2, 2), (1, 3)))
        top, left = (random.randint(0, dilation[i] * (kernel[i] - 1)) for i in (0, 1))
        padding = (top, left, top, left) if random.random() < 0.6 else (top, left, random.randint(0, top), 0)
    size = tuple(  # at least one whole window
        max(size[i], dilation[i] * (kernel[i] - 1) + 1 - padding[i] - padding[i + 2]) for i in (0, 1)
    )  # type: ignore[assignment]
    return ConvSpec(
        batch,
        inputs,
        outputs,
        size,
        kernel,
        stride,
        padding,
        dilation,
        groups,
        in_block,
        block_for(outputs, machine),
        input_scale=random.random() < 0.15,
        epilogue=_epilogue(random, True),
    )


def _pool(random: Random, batch: int, size: tuple[int, int], machine: Machine) -> PoolSpec:
    mode = random.choice(("max", "avg", "global_avg"))
    channels = random.randint(1, 70)
    block = block_for(channels, machine)
    if mode == "global_avg":
        return PoolSpec(mode, batch, channels, size, size, block=block)
    kernel = random.choice(((2, 2), (3, 3), (3, 2), (5, 5)))
    top, left = (random.randint(0, k // 2) for k in kernel)
    size = tuple(max(s, k) for s, k in zip(size, kernel, strict=True))  # type: ignore[assignment]
    stride = random.choice(((1, 1), (2, 2), (3, 3), (2, 1)))
    include = random.random() < 0.5
    return PoolSpec(mode, batch, channels, size, kernel, stride, (top, left, top, left), block, include)


def _epilogue(random: Random, may_add: bool) -> Epilogue:
    residual = may_add and random.random() < 0.3
    return Epilogue(
        random.random() < 0.8,
        random.choice(ACTIVATIONS),
        residual,
        random.choice(ACTIVATIONS) if residual and random.random() < 0.5 else None,
    )
