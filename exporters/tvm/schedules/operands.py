"""The parameters of a convolution kernel, in the order its specification states."""

from math import ceil, prod

from splitkit.exporters.tvm.schedules.code import Code, Operand
from splitkit.exporters.tvm.spec import ConvSpec, packed_shape


class ConvOperands:
    """Arrays of a convolution; absent ones are None."""

    def __init__(self, code: Code, spec: ConvSpec, weights: int, biases: int) -> None:
        """`weights` and `biases` are elements as packed."""
        in_blocks = ceil(spec.in_channels / spec.in_block)
        outputs = prod(packed_shape(spec.batch, spec.out_channels, spec.out_size, spec.out_block))
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
