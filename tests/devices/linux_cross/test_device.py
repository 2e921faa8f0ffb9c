"""What device kind `linux-cross` asks of a profile, what its times are, and what it says when something is missing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splitkit.devices import get_device
from splitkit.devices.analytical import AnalyticalDevice
from splitkit.devices.linux_cross import architecture
from splitkit.devices.linux_cross.architecture import ARCHITECTURES, architecture_of, compiler_for
from splitkit.errors import ConfigError, DeviceError, ToolchainError
from splitkit.exporters.protocol import Artifact
from splitkit.profiles import DeviceProfile, load_device
from tests.devices.linux_cross.peers import aarch64_bundle

BOARDS = ("rpi4", "rpi5", "stm32mp157", "visionfive2")


def changed(name: str, **fields: Any) -> DeviceProfile:
    return load_device(name).model_copy(update=fields)


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_is_timed_by_its_roofline(name: str) -> None:
    device, model = get_device(load_device(name)), AnalyticalDevice(load_device(name))
    artifact = the_artifact_of_nothing(name)
    assert (device.label(), device.emulated, device.real_time) == ("analytical", True, False)
    np.testing.assert_array_equal(device.time_kernels(artifact, 2), model.time_kernels(artifact, 2))
    assert device.fingerprint() == model.fingerprint()


def the_artifact_of_nothing(name: str) -> Artifact:
    from splitkit.compiler.kernel import Kernel
    from splitkit.compiler.memory import MemoryPlan

    kernels = (Kernel("k", "conv", "dense", 10**6, 100, 100, 100, ""),)
    target = get_device(load_device(name)).target()
    return Artifact(Path("nowhere"), "baremetal", "1", target, (), (), kernels, MemoryPlan(0, 0, 0, 0), {})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"macs_per_s": {}}, r"device rpi4: macs_per_s: is missing \(.*or options\.emulated_timing = true"),
        ({"macs_per_s": {"int8": 1e9}}, r"device rpi4: macs_per_s\.float32: is missing"),
        ({"bandwidth_bytes_per_s": None}, r"device rpi4: bandwidth_bytes_per_s: is missing"),
        ({"options": {"qemu": "x"}}, r"device rpi4: options\.qemu: unknown key"),
        ({"options": {"emulated_timing": "perhaps"}}, r"device rpi4: options\.emulated_timing: "),
        ({"target": {"kind": "host"}}, r"device rpi4: target\.mtriple: nothing is no Linux triple"),
        ({"target": {"kind": "llvm", "mtriple": "thumbv7em-none-eabihf"}}, "thumbv7em-none-eabihf is no Linux triple"),
    ],
)
def test_a_profile_that_cannot_be_used_is_named_by_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        get_device(changed("rpi4", **fields))


def test_shortened_triples_are_refused_because_llvm_misreads_them() -> None:
    with pytest.raises(
        ConfigError, match=r"armv7a-linux-gnueabihf is no Linux triple of four parts \(known: .*armv7a-un"
    ):
        architecture_of({"mtriple": "armv7a-linux-gnueabihf"}, "board")
    assert architecture_of({"mtriple": "armv7a-unknown-linux-gnueabihf"}, "board").qemu == "arm"


def test_an_artifact_of_another_target_is_refused() -> None:
    with pytest.raises(
        DeviceError, match=r"nowhere: compiled for riscv64-unknown-linux-gnu \(sifive-u74\), device rpi4"
    ):
        get_device(load_device("rpi4")).open(the_artifact_of_nothing("visionfive2"))


def test_an_artifact_without_c_sources_is_refused() -> None:
    with pytest.raises(DeviceError, match=r'wrote no C sources \(device rpi4: set exporter = "baremetal"\)'):
        get_device(load_device("rpi4")).open(the_artifact_of_nothing("rpi4"))


def test_a_missing_emulator_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolchainError, match=r"qemu-riscv64-static is missing: .*\(apt-get install qemu-user-static\)"):
        architecture.emulator_for(ARCHITECTURES["riscv64"], None)


def test_a_missing_compiler_is_named_with_both_ways_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert compiler_for(ARCHITECTURES["aarch64"]).name == "zig c++"
    monkeypatch.setattr(architecture, "find_spec", lambda name: None)
    with pytest.raises(ToolchainError, match=r"apt-get install g\+\+-aarch64-linux-gnu, or pip install ziglang"):
        compiler_for(ARCHITECTURES["aarch64"])


@pytest.mark.toolchain
def test_emulated_times_say_so(needs: Callable[..., None]) -> None:
    needs("qemu-aarch64-static")
    bundle = aarch64_bundle()
    artifact = bundle.artifact("sensor")
    assert artifact is not None
    device = get_device(changed("rpi4", options={"emulated_timing": True}))
    assert device.label() == "emulated (QEMU user mode), not a device's latency"
    assert "qemu-user" in device.fingerprint()
    assert device.time_graph(artifact, 3).samples.min() > 0
    times = device.time_kernels(artifact, 3)
    assert times.shape == (3, len(artifact.kernels))
    assert times.min() >= 0
    assert times.sum() > 0


@pytest.mark.toolchain
def test_a_bundle_carries_its_executables_and_says_how_to_start_them(needs: Callable[..., None]) -> None:
    needs("qemu-aarch64-static")
    bundle = aarch64_bundle()
    for side in ("sensor", "aggregator"):
        assert f"{side}/runner" in bundle.manifest.files
        assert f"./runner {side} --manifest manifest.json" in (bundle.path / "README.md").read_text()
        assert (bundle.path / side / "runner").stat().st_mode & 0o111


@pytest.mark.toolchain
def test_a_killed_process_is_one_line_and_the_next_run_starts_another(needs: Callable[..., None]) -> None:
    needs("qemu-aarch64-static")
    bundle = aarch64_bundle()
    artifact = bundle.artifact("sensor")
    assert artifact is not None
    session = get_device(load_device("rpi4")).open(artifact)
    image = {artifact.inputs[0].name: bundle.sample()[0][0, 0][None]}
    expected = session.run(image)
    process = session._process  # type: ignore[attr-defined]
    process.kill()
    process.wait()
    with pytest.raises(DeviceError, match=r"sensor/runner: ended by signal 9"):
        session.run(image)
    for name, array in session.run(image).items():
        np.testing.assert_array_equal(array, expected[name])
