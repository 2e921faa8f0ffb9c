"""Arrays of a convolution, and what is done to its sums before they are stored there."""

from collections.abc import Sequence
from math import ceil, prod
from typing import TYPE_CHECKING

from splitkit.compiler.codegen.code import Code, Expr, join, part
from splitkit.compiler.codegen.code import Operand as Array
from splitkit.compiler.codegen.epilogue import finish, mask, needs_mask
from splitkit.compiler.packing import packed_shape

if TYPE_CHECKING:
    from splitkit.compiler.kernels.convolution import ConvSpec


class ConvOperands:
    """Arrays of a convolution; absent ones are None."""

    def __init__(
        self, code: Code, spec: "ConvSpec", weights: int, biases: int, workspace: int = 0, copies: int = 1
    ) -> None:
        """`weights` and `biases` are elements as packed, `workspace` elements of scratch in so many copies."""
        in_blocks = ceil(spec.in_channels / spec.in_block)
        outputs = prod(packed_shape(spec.batch, spec.out_channels, spec.out_size, spec.out_block))
        self.code, self.spec = code, spec
        self.x = Array(code, "x", spec.batch * in_blocks * prod(spec.size) * spec.in_block)
        self.scale = Array(code, "scale", spec.batch * in_blocks * spec.in_block) if spec.input_scale else None
        self.weight = Array(code, "weight", weights)
        self.bias = Array(code, "bias", biases) if spec.epilogue.bias else None
        self.residual = Array(code, "residual", outputs) if spec.epilogue.residual else None
        self.out = Array(code, "out", outputs)
        self.workspace = Array(code, "workspace", workspace, copies) if workspace else None

    @property
    def in_order(self) -> list[Array]:
        every = (self.x, self.scale, self.weight, self.bias, self.residual, self.out, self.workspace)
        return [operand for operand in every if operand]

    def store(
        self, value: Expr, width: int, chunk: int, n: Expr, places: Sequence[tuple[Expr, Expr]], y: Expr, column: Expr
    ) -> None:
        """Finish and store an accumulator of `width` channels of one output pixel, `chunk` channels at a time.

        `places` are the block and the lane in it of each chunk's first channel; channels past the last are dropped.
        """
        code, spec, v = self.code, self.spec, self.spec.out_block
        (height, wide), blocks = spec.out_size, ceil(spec.out_channels / v)
        at = [(((n * blocks + block) * height + y) * wide + column) * v + lane for block, lane in places]
        residual = join([self.residual.load(a, chunk) for a in at], width) if self.residual else None
        value = finish(code, spec.epilogue, value, None, residual, width)
        if chunk == v and spec.out_channels % v and needs_mask(spec.epilogue):
            value = mask(value, places[0][0] * v, spec.out_channels, width)
        value = code.let("y", value)
        for i, a in enumerate(at):
            self.out.store(a, part(value, i * chunk, chunk, width), chunk)
