"""Hardware as data: devices, links, and the systems they make up. TOML files with a checked schema."""

from splitkit.profiles.loading import load_device, load_link, load_system, profile_names, profile_text
from splitkit.profiles.schema import DeviceProfile, LinkProfile, System

__all__ = [
    "DeviceProfile",
    "LinkProfile",
    "System",
    "load_device",
    "load_link",
    "load_system",
    "profile_names",
    "profile_text",
]
