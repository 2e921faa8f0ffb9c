"""Firmwares around a handmade network: values, exact counts, and one clear line for everything that goes wrong."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from splitkit.devices import get_device
from splitkit.devices.qemu_system import QemuSystemDevice
from splitkit.errors import BundleError, ConfigError, DeviceError, ModelError, ToolchainError
from splitkit.profiles import DeviceProfile, load_device

from .handmade import DOUBLE, board, handmade

pytestmark = pytest.mark.toolchain

X = np.array([[1.0, -2.5, 3.0, 1e6]], np.float32)


@pytest.fixture(autouse=True)
def _tools(needs: Callable[..., None]) -> None:
    needs("arm-none-eabi-gcc", "qemu-system-arm")


def nops(n: int) -> str:
    return f'__asm__ volatile(".rept {n}\\nnop\\n.endr"); return 0;'


def test_a_session_runs_every_input_through_one_firmware(tmp_path: Path) -> None:
    session = get_device(board()).open(handmade(tmp_path / "net"))
    for factor in (1, 2, 3):
        np.testing.assert_array_equal(session.run({"x": factor * X})["y"], 2 * factor * X)


def test_a_count_is_exact_and_the_same_every_time(tmp_path: Path) -> None:
    artifacts = [handmade(tmp_path / str(n), nops(n), nops(10)) for n in (100, 1100)]
    few, many = (QemuSystemDevice(board()).count(artifact) for artifact in artifacts)
    assert (many.kernels - few.kernels).tolist() == [1000, 0]
    assert many.graph - few.graph == 1000
    assert many.graph - many.kernels.sum() < 30
    again = {QemuSystemDevice(board()).count(artifacts[1]).graph for _ in range(3)}
    assert again == {many.graph}


def test_the_painted_stack_is_the_stack(tmp_path: Path) -> None:
    def filling(n: int) -> str:
        return f"volatile char room[{n}]; for (int i = 0; i < {n}; ++i) room[i] = 1; return room[0] - 1;"

    small, large = (
        QemuSystemDevice(board()).count(handmade(tmp_path / str(n), filling(n))).stack_bytes for n in (64, 4096)
    )
    assert large - small == 4096 - 64


def test_times_are_counts_times_cpi_over_clock(tmp_path: Path) -> None:
    artifact = handmade(tmp_path / "net", nops(1000), nops(500))
    profile = board().model_copy(update={"clock_hz": 1e8, "cpi": {"default": 1.0, "linear": 3.0}})
    counts = QemuSystemDevice(profile).count(artifact)
    device = get_device(profile)
    expected = counts.kernels * np.array([0.01, 0.03])
    np.testing.assert_allclose(device.time_kernels(artifact, 2), [expected, expected])
    between = (counts.graph - counts.kernels.sum()) * 0.01
    np.testing.assert_allclose(device.time_graph(artifact, 3).samples, expected.sum() + between)
    assert device.label() == "estimated from instruction counts (CPI assumed)"
    assert device.emulated
    unscaled = get_device(profile.unscaled())
    np.testing.assert_array_equal(unscaled.time_kernels(artifact, 1)[0], counts.kernels)
    assert (unscaled.unit, unscaled.label()) == ("instructions", "instructions (QEMU -icount)")


def test_clock_and_cpi_are_no_conditions_of_the_rows() -> None:
    other = board().model_copy(update={"clock_hz": 1.0, "cpi": {"default": 7.0}, "time_scale": 3.0})
    assert get_device(other.unscaled()).fingerprint() == get_device(board().unscaled()).fingerprint()
    assert get_device(other).fingerprint() != get_device(board()).fingerprint()


@pytest.mark.parametrize(
    ("first", "profile", "message"),
    [
        ("*(volatile int *)0xfffffff0 = 1; return 0;", board(), r"faulted in net_kernel_0: status 0x\w+ at address"),
        ('__asm__ volatile("udf #0"); return 0;', board(), "faulted in net_kernel_0: status 0x00010000"),
        ("for (;;) {}", board(timeout_s=1.0), "gave no answer within 1 s"),
        ("return 1;", board(), "a kernel failed"),
        (DOUBLE, board(machine="mps2-an999"), r"options\.machine, options\.cpu: .*unsupported machine type"),
        (DOUBLE, board(cpu="cortex-m3"), r"options\.machine, options\.cpu: "),
        (DOUBLE, board(data={"origin": 0x90000000, "bytes": 1 << 20}), "device stm32h743: the firmware "),
    ],
    ids=["bus fault", "undefined instruction", "hang", "failed kernel", "no such board", "no such core", "wrong map"],
)
def test_a_firmware_that_fails_is_one_clear_line(
    first: str, profile: DeviceProfile, message: str, tmp_path: Path
) -> None:
    device = get_device(profile)
    with pytest.raises(DeviceError, match=message) as caught:
        device.time_graph(handmade(tmp_path / "net", first))
    assert "\n" not in str(caught.value)


def test_a_stack_that_overflows_does_not_pass(tmp_path: Path) -> None:
    body = "volatile char room[60000]; for (int i = 59999; i >= 0; --i) room[i] = 1; return room[0] - 1;"
    profile = board(stack_bytes=4096)
    with pytest.raises(DeviceError, match="the firmware "):
        get_device(profile).time_graph(handmade(tmp_path / "net", body))


def test_what_does_not_fit_the_emulated_board_is_refused(tmp_path: Path) -> None:
    artifact = handmade(tmp_path / "net", nops(5000))
    with pytest.raises(DeviceError, match=r"too large for the emulated board: .*CODE.*options\.code"):
        get_device(board(code={"origin": 0, "bytes": 8192})).time_graph(artifact)


def test_another_target_is_refused(tmp_path: Path) -> None:
    artifact = handmade(tmp_path / "net", profile=load_device("stm32f446"))
    with pytest.raises(
        DeviceError, match=r"compiled for thumbv7em-none-eabihf cortex-m4, device stm32h743 is .*cortex-m7"
    ):
        get_device(board()).open(artifact)


def test_an_artifact_without_c_is_refused(tmp_path: Path) -> None:
    artifact = handmade(tmp_path / "net")
    (tmp_path / "net" / "net.c").unlink()
    with pytest.raises(BundleError, match=r"net\.c: cannot be read"):
        get_device(board()).open(artifact)
    other = replace(artifact, exporter="tvm", report={})
    with pytest.raises(DeviceError, match=r'wrote no C sources \(the profile needs exporter = "baremetal"\)'):
        get_device(board()).open(other)


def test_a_wrong_input_is_refused(tmp_path: Path) -> None:
    session = get_device(board()).open(handmade(tmp_path / "net"))
    with pytest.raises(ModelError, match=r"input 'x' is float64\[1, 4\] \(it must be float32\[1, 4\]\)"):
        session.run({"x": X.astype(np.float64)})


def test_a_missing_emulator_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = handmade(tmp_path / "net")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolchainError, match=r"qemu-system-arm is not installed \(apt-get install qemu-system-arm\)"):
        get_device(board()).open(artifact)


def test_a_profile_without_a_clock_is_refused() -> None:
    body = board().model_dump() | {"clock_hz": None, "cpi": {}, "sources": {}}
    with pytest.raises(ConfigError, match="device stm32h743: clock_hz: is missing"):
        get_device(DeviceProfile.model_validate(body))
