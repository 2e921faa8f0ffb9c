"""The regression interpolates measured kernels and says how sure it is."""

import json

import numpy as np
import pytest

from splitkit.compiler.kernel import Kernel
from splitkit.latency.regression import KernelRegression


def pointwise(source: int, target: int, size: int, family: str = "pointwise") -> Kernel:
    macs = source * target * size**2
    payload = json.dumps({"in_channels": source, "out_channels": target, "size": [size, size], "bias": True})
    label = f"{source}->{target} at {size}"
    read, write, weights = (4 * n for n in (source * size**2, target * size**2, source * target))
    return Kernel(f"{family}-{label}", label, family, macs, read, write, weights, payload)


def truth_us(kernel: Kernel) -> float:
    """A core that is slower on narrow outputs and pays for starting."""
    outputs = int(json.loads(kernel.payload)["out_channels"])
    return 0.3 + kernel.macs / 50e3 * (1 + 8 / outputs) + kernel.weight_bytes / 40e3


WIDTHS, SIZES = (8, 16, 24, 32, 48, 64, 96, 128), (4, 8, 16, 32)
KERNELS = [pointwise(a, b, s) for a in WIDTHS for b in WIDTHS for s in SIZES]


def test_left_out_kernels_are_interpolated() -> None:
    rng = np.random.default_rng(0)
    order = rng.permutation(len(KERNELS))
    train, held = [KERNELS[i] for i in order[:100]], [KERNELS[i] for i in order[100:]]
    regression = KernelRegression(train, np.array([truth_us(k) for k in train]) * rng.normal(1, 0.01, len(train)))
    truth = np.array([truth_us(k) for k in held])
    error = np.abs(regression.predict(held).times / truth - 1)
    assert np.median(error) < 0.05
    assert np.quantile(error, 0.9) < 0.15


def test_uncertainty_is_larger_far_from_what_was_measured() -> None:
    train = [k for k in KERNELS if k.macs < 1e6]
    regression = KernelRegression(train, np.array([truth_us(k) for k in train]))
    near, far = regression.predict([train[10], pointwise(1024, 1024, 64)]).sigma_log
    assert far > 2 * near


def test_a_family_of_few_rows_borrows_from_the_others() -> None:
    regression = KernelRegression(KERNELS, np.array([truth_us(k) for k in KERNELS]))
    stranger = pointwise(40, 40, 12, family="stranger")
    assert regression.predict([stranger]).times[0] == pytest.approx(truth_us(stranger), rel=0.3)


def test_one_row_is_enough_to_answer() -> None:
    only = KERNELS[5]
    regression = KernelRegression([only], np.array([2.0]))
    assert regression.predict([only]).times[0] == pytest.approx(2.0, rel=0.05)
