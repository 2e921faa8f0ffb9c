"""The parameters of a convolution kernel, in the order its specification states."""

from math import ceil, prod

from splitkit.exporters.tvm.schedules.code import Code, Expr, Operand, divide, join, part
from splitkit.exporters.tvm.schedules.epilogue import finish, mask, needs_mask
from splitkit.exporters.tvm.spec import ConvSpec, packed_shape


class ConvOperands:
    """Arrays of a convolution; absent ones are None."""

    def __init__(self, code: Code, spec: ConvSpec, weights: int, biases: int) -> None:
        """`weights` and `biases` are elements as packed."""
        in_blocks = ceil(spec.in_channels / spec.in_block)
        outputs = prod(packed_shape(spec.batch, spec.out_channels, spec.out_size, spec.out_block))
        self.code, self.spec = code, spec
        self.x = Operand(code, "x", spec.batch * in_blocks * prod(spec.size) * spec.in_block)
        self.scale = Operand(code, "scale", spec.batch * in_blocks * spec.in_block) if spec.input_scale else None
        self.weight = Operand(code, "weight", weights)
        self.bias = Operand(code, "bias", biases) if spec.epilogue.bias else None
        self.residual = Operand(code, "residual", outputs) if spec.epilogue.residual else None
        self.out = Operand(code, "out", outputs)

    @property
    def in_order(self) -> list[Operand]:
        every = (self.x, self.scale, self.weight, self.bias, self.residual, self.out)
        return [operand for operand in every if operand]

    def store(self, value: Expr, channel: Expr, width: int, n: Expr, y: Expr, column: Expr) -> None:
        """Finish and store an accumulator that holds `width` channels from `channel` of one output pixel.

        The width may span several blocks of the output, the last of which may not exist.
        """
        code, spec, v = self.code, self.spec, self.spec.out_block
        (height, wide), blocks = spec.out_size, ceil(spec.out_channels / v)
        first, count = divide(channel, v), max(1, width // v)
        if isinstance(first, int):
            count = min(count, blocks - first)
        at = [(((n * blocks + first + i) * height + y) * wide + column) * v for i in range(count)]
        residual = join([self.residual.load(a, v) for a in at], width) if self.residual else None
        value = finish(code, spec.epilogue, value, None, residual, width)
        if spec.out_channels % v and needs_mask(spec.epilogue):
            value = mask(value, channel, spec.out_channels, width)
        value = code.let("y", value)
        for i, a in enumerate(at):
            self.out.store(a, part(value, i * v, v, width), v)
