"""Device kind `qemu-system`: a microcontroller board under QEMU, timed by counting instructions."""

from splitkit.devices.qemu_system.device import QemuSystemDevice

__all__ = ["QemuSystemDevice"]
