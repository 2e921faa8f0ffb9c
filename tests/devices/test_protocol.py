"""What devices declare of themselves, and which of them rows of a table may be of."""

import pytest

from splitkit.devices import Device, get_device
from splitkit.devices.rpc.options import behind_tracker
from splitkit.errors import ConfigError
from splitkit.latency.kernel_times import conditions_of
from splitkit.profiles import DeviceProfile, load_device

BOARD = DeviceProfile(name="b", kind="rpc", options={"host": "127.0.0.1", "port": 1})


@pytest.mark.parametrize(
    ("profile", "declared"),
    [
        (load_device("host"), {"here"}),
        (load_device("ar-soc"), {"kernel_model"}),
        (load_device("rpi4"), {"kernel_model"}),
        (load_device("rpi4").model_copy(update={"options": {"emulated_timing": True}}), set()),
        (load_device("stm32h743"), set()),
        (BOARD, {"pool"}),
    ],
)
def test_a_device_says_what_it_is(profile: DeviceProfile, declared: set[str]) -> None:
    device = get_device(profile)
    assert isinstance(device, Device)
    assert {name for name in ("here", "kernel_model", "pool") if getattr(device, name)} == declared
    assert (device.unit == "instructions") == (profile.kind == "qemu-system")


@pytest.mark.parametrize("name", ["demo-sensor", "stm32h743"])
def test_rows_are_of_unscaled_devices_alone(name: str) -> None:
    scaled = load_device(name)
    with pytest.raises(TypeError, match=f"device {name} is scaled"):
        conditions_of(get_device(scaled), scaled.exporter)  # type: ignore[arg-type]
    assert not scaled.is_unscaled
    assert scaled.unscaled().is_unscaled
    assert scaled.unscaled().unscaled() == scaled.unscaled()


def test_only_boards_are_found_through_a_tracker() -> None:
    assert behind_tracker(BOARD, None, None) == BOARD
    assert behind_tracker(BOARD, "farm:9190", "pi").options == {"tracker": "farm:9190", "key": "pi"}
    assert behind_tracker(load_device("host"), None, None).kind == "host"
    with pytest.raises(ConfigError, match="device host: kind: host: only boards of kind rpc"):
        behind_tracker(load_device("host"), "farm", None)
