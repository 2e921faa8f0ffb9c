"""Options of a device kind are checked by that kind; a mistake is named by device and field."""

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from splitkit.devices.options import read_options
from splitkit.errors import ConfigError
from splitkit.profiles import DeviceProfile


class Bus(BaseModel):
    model_config = ConfigDict(extra="forbid")
    lanes: int


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    machine: str
    bus: Bus = Bus(lanes=1)


def profile(**options: Any) -> DeviceProfile:
    return DeviceProfile(name="board", kind="toy", options=options)


def test_options_come_back_as_the_kinds_model() -> None:
    assert read_options(profile(machine="m", bus={"lanes": 2}), Options) == Options(machine="m", bus=Bus(lanes=2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"device board: options\.machine: is missing \(kind toy knows machine, bus\)"),
        ({"machine": "m", "speed": 1}, r"device board: options\.speed: unknown key"),
        ({"machine": "m", "bus": {"lanes": "many"}}, r"device board: options\.bus\.lanes: .*integer"),
    ],
)
def test_a_mistake_is_named_by_device_and_field(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_options(profile(**options), Options)
