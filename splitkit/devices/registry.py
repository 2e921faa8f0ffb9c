"""Find device kinds by name through entry points; importing this module loads none of them."""

from typing import overload

from splitkit.devices.protocol import Device, UnscaledDevice
from splitkit.errors import ConfigError
from splitkit.plugins import registered
from splitkit.profiles.schema import DeviceProfile, UnscaledProfile

GROUP = "splitkit.devices"


def device_kinds() -> list[str]:
    """Names of every installed device kind, sorted."""
    return sorted({entry.name for entry in registered(GROUP)})


@overload
def get_device(profile: UnscaledProfile) -> UnscaledDevice: ...
@overload
def get_device(profile: DeviceProfile) -> Device: ...
def get_device(profile: DeviceProfile) -> Device:
    """The device that `profile` describes.

    Raises:
        ConfigError: no installed package registers the profile's kind.
        DeviceError: this machine cannot be used as the profile says.
    """
    for entry in registered(GROUP):
        if entry.name == profile.kind:
            device: Device = entry.load()(profile)
            return device
    raise ConfigError(
        f"device {profile.name}: kind: no device kind is called {profile.kind!r}",
        f"installed: {', '.join(device_kinds())}",
    )
