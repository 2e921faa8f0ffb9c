"""Linux on another processor: a half and a small C++ runner in one static executable, run here by QEMU."""

from splitkit.devices.linux_cross.device import linux_cross_device

__all__ = ["linux_cross_device"]
