"""Find device kinds by name through entry points; importing this module loads none of them."""

import sys
from functools import cache
from importlib.metadata import EntryPoints, entry_points

from splitkit.devices.protocol import Device
from splitkit.errors import ConfigError
from splitkit.profiles.schema import DeviceProfile

GROUP = "splitkit.devices"


def device_kinds() -> list[str]:
    """Names of every installed device kind, sorted."""
    return sorted({entry.name for entry in _installed(tuple(sys.path))})


def get_device(profile: DeviceProfile) -> Device:
    """The device that `profile` describes.

    Raises:
        ConfigError: no installed package registers the profile's kind.
        DeviceError: this machine cannot be used as the profile says.
    """
    for entry in _installed(tuple(sys.path)):
        if entry.name == profile.kind:
            device: Device = entry.load()(profile)
            return device
    raise ConfigError(
        f"device {profile.name}: kind: no device kind is called {profile.kind!r}",
        f"installed: {', '.join(device_kinds())}",
    )


@cache
def _installed(path: tuple[str, ...]) -> EntryPoints:
    """What is registered on `sys.path`, read once: a look goes through the metadata of all installed packages."""
    return entry_points(group=GROUP)
