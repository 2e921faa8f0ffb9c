"""Activations against double precision over their whole range."""

import numpy as np
import pytest

from splitkit.compiler.codegen.activation import reference, value_at_zero
from splitkit.compiler.library import Library, operands, unpack
from splitkit.compiler.machine import Machine
from splitkit.compiler.spec import Activation, ConvSpec, Epilogue
from splitkit.compiler.target import CompileTarget
from tests.compiler.kernels.reference import ACTIVATIONS, Tensors

POINTS = 16 * 64 * 64
WORST = {"swish": 3e-6, "hard_swish": 3e-6, "gelu": 3e-6, "leaky_relu": 3e-6}
"""Absolute errors; the unbounded functions reach 100 here, of which float32 resolves 7.6e-6."""


@pytest.fixture(scope="module")
def library() -> Library:
    """Identity convolutions, each with one activation."""
    specs = [
        ConvSpec(1, 16, 16, (64, 64), (1, 1), in_block=16, out_block=16, epilogue=Epilogue(activation=act))
        for act in ACTIVATIONS
        if act
    ]
    return Library.build(specs, Machine.from_target(CompileTarget()))


@pytest.mark.parametrize("index", range(len(ACTIVATIONS) - 1))
def test_activation_is_accurate_everywhere(library: Library, index: int) -> None:
    spec = library.specs[index]
    assert isinstance(spec, ConvSpec)
    act = spec.epilogue.activation
    assert act is not None
    x = np.concatenate([np.linspace(-20, 20, POINTS - 4), [-100.0, -1e-30, 1e-30, 100.0]]).astype(np.float32)
    given: Tensors = {"x": x.reshape(1, 16, 64, 64), "weight": np.eye(16).reshape(16, 16, 1, 1)}
    got = unpack(library.run(index, operands(spec, library.machine, given)), 16).reshape(-1)
    want = np.array([reference(act, float(value)) for value in x])
    assert np.abs(got - want).max() < WORST.get(act.kind, 3e-7)


@pytest.mark.parametrize("act", [act for act in ACTIVATIONS if act])
def test_value_at_zero_is_the_function_at_zero(act: Activation) -> None:
    assert value_at_zero(act) == pytest.approx(reference(act, 0.0), abs=1e-12)
