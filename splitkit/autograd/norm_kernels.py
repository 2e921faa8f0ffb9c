"""Batch norm, activation and residual in one pass over memory, forward and backward, as TensorIR.

Both are bound by memory. torch runs them one by one: thirteen to fourteen passes over a tensor for a training step of
batch norm and hard-swish. Here the forward pass reads the input twice and writes the output once; the backward pass
reads input and gradient twice and writes the input's gradient over the input, which nobody needs any more. What lies
between is computed again instead of being kept.

Tensors are rows of pixels, (pixels, blocks, LANES): channels last, in blocks of `LANES`, float32 or bfloat16 (whose
bits are given as uint16). What is computed, and what is left for the backward pass, is float32.
"""

# What TVM parses has no annotations of ours.
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

from typing import Any

from tvm.script import tirx as T

from splitkit.autograd.native import LANES
from splitkit.autograd.rounding import stored, widened
from splitkit.autograd.sigmoid import constant, sigmoid

ALL: Any = T.Ramp(0, 1, LANES)
"""Every channel of a block."""

ZERO: Any = T.Broadcast(T.float32(0), LANES)

CHUNK = 256
"""Rows whose sums are added up before they are added to the totals, for the sake of their last digits."""

MEAN, INVERSE, SCALE, OFFSET = 0, 1, 2, 3
"""Rows of what the forward pass leaves for the backward pass: y = activation(x * scale + offset)."""


def _clamped(z: Any, high: float) -> Any:
    return T.min(T.max(z, constant(0.0)), constant(high))


def _value(activation: str, z: Any) -> Any:
    match activation:
        case "relu":
            return T.max(z, constant(0.0))
        case "relu6":
            return _clamped(z, 6.0)
        case "hard_swish":
            return z * _clamped(z + constant(3.0), 6.0) * constant(1 / 6)
        case "swish":
            return z * sigmoid(z)
        case _:
            return z


def _slope(activation: str, z: Any, gradient: Any) -> Any:
    """`gradient` times the activation's derivative at `z`."""
    zero = constant(0.0)
    match activation:
        case "relu":
            return T.Select(z > zero, gradient, zero)
        case "relu6":
            return T.Select(T.And(z > zero, z < constant(6.0)), gradient, zero)
        case "hard_swish":
            within = gradient * (z * constant(1 / 3) + constant(0.5))
            return T.Select(z < constant(-3.0), zero, T.Select(z < constant(3.0), within, gradient))
        case "swish":
            gate = sigmoid(z)
            return gradient * gate * (constant(1.0) + z * (constant(1.0) - gate))
        case _:
            return gradient


def forward_kernel(activation: str, residual: bool, storage: str) -> Any:
    """`forward(x, gain, shift, eps, other, y, saved)`.

    x, y, other: `storage` (float32, or uint16 for bfloat16) (pixels, blocks, LANES), `other` being added to the result
    (if there is no `residual`, any tensor of that shape, not read). gain, shift: (blocks, LANES). saved: (4, blocks,
    LANES), written.
    """

    @T.prim_func
    def forward(
        x_handle: T.handle,
        gain_handle: T.handle,
        shift_handle: T.handle,
        eps: T.float32,
        other_handle: T.handle,
        y_handle: T.handle,
        saved_handle: T.handle,
    ):
        T.func_attr({"tirx.noalias": True, "global_symbol": "forward"})
        rows, blocks = T.int64(), T.int64()
        x = T.match_buffer(x_handle, (rows, blocks, LANES), storage, align=4)
        gain = T.match_buffer(gain_handle, (blocks, LANES), "float32", align=4)
        shift = T.match_buffer(shift_handle, (blocks, LANES), "float32", align=4)
        other = T.match_buffer(other_handle, (rows, blocks, LANES), storage, align=4)
        y = T.match_buffer(y_handle, (rows, blocks, LANES), storage, align=4)
        saved = T.match_buffer(saved_handle, (4, blocks, LANES), "float32", align=4)
        sums = T.alloc_buffer((4, blocks, LANES), "float32")
        for j in range(blocks):
            sums[2, j, ALL] = ZERO
            sums[3, j, ALL] = ZERO
        for chunk in range((rows + CHUNK - 1) // CHUNK):
            for j in range(blocks):
                sums[0, j, ALL] = ZERO
                sums[1, j, ALL] = ZERO
            held = T.min(T.int64(CHUNK), rows - chunk * CHUNK)
            for four in range(held // 4):
                for j in range(blocks):
                    first = widened(x[0, j, ALL], storage)
                    a = widened(x[chunk * CHUNK + four * 4, j, ALL], storage) - first
                    b = widened(x[chunk * CHUNK + four * 4 + 1, j, ALL], storage) - first
                    c = widened(x[chunk * CHUNK + four * 4 + 2, j, ALL], storage) - first
                    d = widened(x[chunk * CHUNK + four * 4 + 3, j, ALL], storage) - first
                    sums[0, j, ALL] = sums[0, j, ALL] + ((a + b) + (c + d))
                    sums[1, j, ALL] = sums[1, j, ALL] + ((a * a + b * b) + (c * c + d * d))
            for left in range(held % 4):
                for j in range(blocks):
                    a = widened(x[chunk * CHUNK + held - 1 - left, j, ALL], storage) - widened(x[0, j, ALL], storage)
                    sums[0, j, ALL] = sums[0, j, ALL] + a
                    sums[1, j, ALL] = sums[1, j, ALL] + a * a
            for j in range(blocks):
                sums[2, j, ALL] = sums[2, j, ALL] + sums[0, j, ALL]
                sums[3, j, ALL] = sums[3, j, ALL] + sums[1, j, ALL]
        for j in range(blocks):
            saved[MEAN, j, ALL] = widened(x[0, j, ALL], storage)
            for lane in range(LANES):
                away = sums[2, j, lane] / T.Cast("float32", rows)
                variance = T.max(sums[3, j, lane] / T.Cast("float32", rows) - away * away, T.float32(0))
                saved[MEAN, j, lane] = saved[MEAN, j, lane] + away
                saved[INVERSE, j, lane] = T.float32(1) / T.sqrt(variance + eps)
                saved[SCALE, j, lane] = gain[j, lane] * saved[INVERSE, j, lane]
                saved[OFFSET, j, lane] = shift[j, lane] - saved[MEAN, j, lane] * saved[SCALE, j, lane]
        for row in range(rows):
            for j in range(blocks):
                z = widened(x[row, j, ALL], storage) * saved[SCALE, j, ALL] + saved[OFFSET, j, ALL]
                if residual:
                    y[row, j, ALL] = stored(_value(activation, z) + widened(other[row, j, ALL], storage), storage)
                else:
                    y[row, j, ALL] = stored(_value(activation, z), storage)

    return forward


def backward_kernel(activation: str, storage: str) -> Any:
    """`backward(x, gradient, saved, slopes)`: the gradient of x is written over x.

    x, gradient (of the output): `storage` (pixels, blocks, LANES). saved: what `forward` left. slopes: (2, blocks,
    LANES), the gradients of gain and shift.
    """

    @T.prim_func
    def backward(x_handle: T.handle, g_handle: T.handle, saved_handle: T.handle, slopes_handle: T.handle):
        T.func_attr({"tirx.noalias": True, "global_symbol": "backward"})
        rows, blocks = T.int64(), T.int64()
        x = T.match_buffer(x_handle, (rows, blocks, LANES), storage, align=4)
        g = T.match_buffer(g_handle, (rows, blocks, LANES), storage, align=4)
        saved = T.match_buffer(saved_handle, (4, blocks, LANES), "float32", align=4)
        slopes = T.match_buffer(slopes_handle, (2, blocks, LANES), "float32", align=4)
        sums = T.alloc_buffer((2, blocks, LANES), "float32")
        for j in range(blocks):
            slopes[0, j, ALL] = ZERO
            slopes[1, j, ALL] = ZERO
        for chunk in range((rows + CHUNK - 1) // CHUNK):
            for j in range(blocks):
                sums[0, j, ALL] = ZERO
                sums[1, j, ALL] = ZERO
            held = T.min(T.int64(CHUNK), rows - chunk * CHUNK)
            for two in range(held // 2):
                for j in range(blocks):
                    scale = saved[SCALE, j, ALL]
                    offset = saved[OFFSET, j, ALL]
                    mean = saved[MEAN, j, ALL]
                    xa = widened(x[chunk * CHUNK + two * 2, j, ALL], storage)
                    xb = widened(x[chunk * CHUNK + two * 2 + 1, j, ALL], storage)
                    ga = widened(g[chunk * CHUNK + two * 2, j, ALL], storage)
                    gb = widened(g[chunk * CHUNK + two * 2 + 1, j, ALL], storage)
                    a = _slope(activation, xa * scale + offset, ga)
                    b = _slope(activation, xb * scale + offset, gb)
                    sums[0, j, ALL] = sums[0, j, ALL] + (a * (xa - mean) + b * (xb - mean))
                    sums[1, j, ALL] = sums[1, j, ALL] + (a + b)
            for _left in range(held % 2):
                for j in range(blocks):
                    xa = widened(x[chunk * CHUNK + held - 1, j, ALL], storage)
                    z = xa * saved[SCALE, j, ALL] + saved[OFFSET, j, ALL]
                    a = _slope(activation, z, widened(g[chunk * CHUNK + held - 1, j, ALL], storage))
                    sums[0, j, ALL] = sums[0, j, ALL] + a * (xa - saved[MEAN, j, ALL])
                    sums[1, j, ALL] = sums[1, j, ALL] + a
            for j in range(blocks):
                slopes[0, j, ALL] = slopes[0, j, ALL] + sums[0, j, ALL]
                slopes[1, j, ALL] = slopes[1, j, ALL] + sums[1, j, ALL]
        for j in range(blocks):
            for lane in range(LANES):
                inverse = saved[INVERSE, j, lane]
                per_row = saved[SCALE, j, lane] / T.Cast("float32", rows)
                sums[0, j, lane] = -per_row * inverse * inverse * slopes[0, j, lane]
                sums[1, j, lane] = -per_row * slopes[1, j, lane]
                slopes[0, j, lane] = slopes[0, j, lane] * inverse
        for row in range(rows):
            for j in range(blocks):
                scale = saved[SCALE, j, ALL]
                xa = widened(x[row, j, ALL], storage)
                a = _slope(activation, xa * scale + saved[OFFSET, j, ALL], widened(g[row, j, ALL], storage))
                away = (xa - saved[MEAN, j, ALL]) * sums[0, j, ALL] + sums[1, j, ALL]
                x[row, j, ALL] = stored(scale * a + away, storage)

    return backward
