"""Depthwise convolution of whole batches, channels last, as TensorIR: forward, and the gradients of both inputs.

oneDNN runs these at an eighth of what a core can do. Here a block of `LANES` channels of one image is copied into a
padded plane that stays in the cache, after which no border is left to care for; every vector of outputs then is k x k
multiply-adds in registers, for `TILE` neighbours at once. The gradient of the input is the same kernel: the
gradient of the output, spread by the stride, under the window turned by half a turn.
"""

# What TVM parses has no annotations of ours.
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

from typing import Any

from tvm.script import tirx as T

from splitkit.autograd.native import LANES
from splitkit.autograd.rounding import stored, widened

ALL: Any = T.Ramp(0, 1, LANES)
"""Every channel of a block."""

ZERO: Any = T.Broadcast(T.float32(0), LANES)

TILE = 4
"""Neighbouring outputs that share a window's weights in registers."""


def window_kernel(kernel: int, stride: int, spread: int, storage: str) -> Any:
    """`window(x, weight, y, plane)`: y[h, w] = sum of x~[h stride + i - k // 2, w stride + j - k // 2] weight[i, j].

    x~ is x with `spread` - 1 zeros between its pixels. x, y: `storage` (float32, or uint16 for bfloat16) (images,
    height, width, blocks, LANES). weight: float32 (k, k, blocks, LANES). plane: scratch, float32 (rows, columns, LANES)
    of at least k - 1 more rows and columns than x~ has, and whatever more the outputs ask for; zeros.
    """

    @T.prim_func
    def window(x_handle: T.handle, w_handle: T.handle, y_handle: T.handle, p_handle: T.handle):
        T.func_attr({"tirx.noalias": True, "global_symbol": "window"})
        images, blocks = T.int64(), T.int64()
        height, width, tall, wide = T.int64(), T.int64(), T.int64(), T.int64()
        rows, columns = T.int64(), T.int64()
        x = T.match_buffer(x_handle, (images, height, width, blocks, LANES), storage, align=4)
        weight = T.match_buffer(w_handle, (kernel, kernel, blocks, LANES), "float32", align=4)
        y = T.match_buffer(y_handle, (images, tall, wide, blocks, LANES), storage, align=4)
        plane = T.match_buffer(p_handle, (rows, columns, LANES), "float32", align=4)
        sums = T.alloc_buffer((TILE, LANES), "float32", scope="local")
        for image in range(images):
            for b in range(blocks):
                for h in range(height):
                    for w in range(width):
                        plane[kernel // 2 + h * spread, kernel // 2 + w * spread, ALL] = widened(
                            x[image, h, w, b, ALL], storage
                        )
                for h in range(tall):
                    for tile in range(wide // TILE):
                        for t in T.unroll(TILE):
                            sums[t, ALL] = ZERO
                        for i in T.unroll(kernel):
                            for j in T.unroll(kernel):
                                for t in T.unroll(TILE):
                                    sums[t, ALL] = (
                                        sums[t, ALL]
                                        + plane[
                                            h * stride + i,
                                            tile * (TILE * stride) + t * stride + j,
                                            ALL,
                                        ]
                                        * weight[i, j, b, ALL]
                                    )
                        for t in T.unroll(TILE):
                            y[image, h, tile * TILE + t, b, ALL] = stored(sums[t, ALL], storage)
                    for left in range(wide % TILE):
                        sums[0, ALL] = ZERO
                        for i in T.unroll(kernel):
                            for j in T.unroll(kernel):
                                sums[0, ALL] = (
                                    sums[0, ALL]
                                    + plane[h * stride + i, (wide - 1 - left) * stride + j, ALL] * weight[i, j, b, ALL]
                                )
                        y[image, h, wide - 1 - left, b, ALL] = stored(sums[0, ALL], storage)

    return window


def weight_gradient_kernel(kernel: int, stride: int, storage: str) -> Any:
    """`weigh(x, gradient, slopes, plane)`: slopes[i, j] = sum of x[h stride + i - k // 2, ...] gradient[h, ...].

    Shapes as in `window_kernel`; slopes, float32 (k, k, blocks, LANES), is written.
    """

    @T.prim_func
    def weigh(x_handle: T.handle, g_handle: T.handle, s_handle: T.handle, p_handle: T.handle):
        T.func_attr({"tirx.noalias": True, "global_symbol": "weigh"})
        images, blocks = T.int64(), T.int64()
        height, width, tall, wide = T.int64(), T.int64(), T.int64(), T.int64()
        rows, columns = T.int64(), T.int64()
        x = T.match_buffer(x_handle, (images, height, width, blocks, LANES), storage, align=4)
        gradient = T.match_buffer(g_handle, (images, tall, wide, blocks, LANES), storage, align=4)
        slopes = T.match_buffer(s_handle, (kernel, kernel, blocks, LANES), "float32", align=4)
        plane = T.match_buffer(p_handle, (rows, columns, LANES), "float32", align=4)
        sums = T.alloc_buffer((kernel, LANES), "float32", scope="local")
        for i in range(kernel):
            for j in range(kernel):
                for b in range(blocks):
                    slopes[i, j, b, ALL] = ZERO
        for image in range(images):
            for b in range(blocks):
                for h in range(height):
                    for w in range(width):
                        plane[kernel // 2 + h, kernel // 2 + w, ALL] = widened(x[image, h, w, b, ALL], storage)
                for i in range(kernel):
                    for j in T.unroll(kernel):
                        sums[j, ALL] = ZERO
                    for h in range(tall):
                        for w in range(wide):
                            slope = widened(gradient[image, h, w, b, ALL], storage)
                            for j in T.unroll(kernel):
                                sums[j, ALL] = sums[j, ALL] + plane[h * stride + i, w * stride + j, ALL] * slope
                    for j in T.unroll(kernel):
                        slopes[i, j, b, ALL] = slopes[i, j, b, ALL] + sums[j, ALL]

    return weigh
