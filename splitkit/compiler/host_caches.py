"""How large this machine's caches are, as Linux states them."""

from functools import cache
from pathlib import Path

TYPICAL = {1: 32 * 1024, 2: 512 * 1024}
"""Where the system does not say."""

SYSFS = Path("/sys/devices/system/cpu/cpu0/cache")


@cache
def host_caches() -> tuple[int, int]:
    """First-level data cache and second-level cache of CPU 0, bytes."""
    sizes = dict(TYPICAL)
    for index in SYSFS.glob("index*"):
        try:
            if (index / "type").read_text().strip() == "Instruction":
                continue
            level, text = int((index / "level").read_text()), (index / "size").read_text().strip()
            sizes[level] = int(text.rstrip("KM")) * (1024 if text.endswith("K") else 1024 * 1024)
        except (OSError, ValueError):
            continue
    return sizes[1], sizes[2]
