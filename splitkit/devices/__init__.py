"""Devices run and time what an exporter compiled. Kinds are found through entry points (`splitkit.devices`)."""

from splitkit.devices.protocol import BoardPool, Device, KernelModel, Unit, UnscaledDevice
from splitkit.devices.registry import device_kinds, get_device
from splitkit.devices.timing import Timing

__all__ = [
    "BoardPool",
    "Device",
    "KernelModel",
    "Timing",
    "Unit",
    "UnscaledDevice",
    "device_kinds",
    "get_device",
]
