"""The analytical device: a roofline of the compiler's kernels, deterministic and labelled."""

from pathlib import Path

import numpy as np
import pytest

from splitkit.compiler.kernel import Kernel
from splitkit.compiler.memory import MemoryPlan
from splitkit.compiler.target import CompileTarget
from splitkit.devices import Device, get_device
from splitkit.devices.analytical import AnalyticalDevice
from splitkit.exporters.protocol import Artifact
from splitkit.profiles import DeviceProfile, load_device

PROFILE = DeviceProfile(
    name="paper",
    kind="analytical",
    macs_per_s={"float32": 1e9},
    bandwidth_bytes_per_s=4e9,
    kernel_overhead_us=3.0,
)


def kernel(macs: int, moved: int) -> Kernel:
    return Kernel(f"{macs}/{moved}", "", "pointwise", macs, moved // 2, moved - moved // 2, 0, "")


def artifact(*kernels: Kernel) -> Artifact:
    memory = MemoryPlan(0, 0, 0, 0)
    return Artifact(Path("nowhere"), "tvm", "0", CompileTarget(), (), (), kernels, memory, {})


def test_a_kernel_takes_its_overhead_and_the_longer_of_compute_and_memory() -> None:
    device = AnalyticalDevice(PROFILE)
    times = device.kernel_times([kernel(50_000, 4_000), kernel(1_000, 400_000), kernel(0, 0)])
    np.testing.assert_allclose(times, [3.0 + 50.0, 3.0 + 100.0, 3.0])


def test_weights_count_as_memory_traffic() -> None:
    heavy = Kernel("k", "", "linear", 0, 0, 0, 40_000, "")
    np.testing.assert_allclose(AnalyticalDevice(PROFILE).kernel_times([heavy]), [13.0])


def test_a_graph_is_the_sum_of_its_kernels_and_repeats_exactly() -> None:
    device = AnalyticalDevice(PROFILE)
    compiled = artifact(kernel(50_000, 0), kernel(0, 40_000))
    timing = device.time_graph(compiled, repeats=7)
    assert (len(timing.samples), timing.variance) == (7, 0.0)
    assert timing.undisturbed == pytest.approx(device.time_kernels(compiled, repeats=3)[2].sum())


def test_time_scale_multiplies_every_time_and_shows_in_label_and_fingerprint() -> None:
    scaled = AnalyticalDevice(PROFILE.model_copy(update={"time_scale": 8.0}))
    plain = AnalyticalDevice(PROFILE)
    kernels = [kernel(50_000, 4_000)]
    np.testing.assert_allclose(scaled.kernel_times(kernels), 8 * plain.kernel_times(kernels))
    assert (plain.label(), scaled.label()) == ("analytical", "analytical x8")
    assert plain.fingerprint() != scaled.fingerprint()


def test_the_fingerprint_is_of_the_numbers_not_of_the_name() -> None:
    renamed = AnalyticalDevice(PROFILE.model_copy(update={"name": "other", "pj_per_mac": 2.0}))
    faster = AnalyticalDevice(PROFILE.model_copy(update={"bandwidth_bytes_per_s": 5e9}))
    assert renamed.fingerprint() == AnalyticalDevice(PROFILE).fingerprint() != faster.fingerprint()


@pytest.mark.parametrize("name", ["hmd-sensor", "ar-soc"])
def test_shipped_analytical_profiles_make_devices(name: str) -> None:
    device = get_device(load_device(name))
    assert isinstance(device, AnalyticalDevice)
    assert isinstance(device, Device)
    assert device.emulated
