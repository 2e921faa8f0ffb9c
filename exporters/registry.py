"""Find exporters by name through entry points; importing this module loads none of them."""

import sys
from functools import cache
from importlib.metadata import EntryPoints, entry_points

from splitkit.errors import ConfigError
from splitkit.exporters.protocol import Exporter

GROUP = "splitkit.exporters"


def exporter_names() -> list[str]:
    """Names of every installed exporter, sorted."""
    return sorted({entry.name for entry in _installed(tuple(sys.path))})


def get_exporter(name: str) -> Exporter:
    """Load and instantiate the exporter called `name`.

    Raises:
        ConfigError: no installed package registers that name.
    """
    for entry in _installed(tuple(sys.path)):
        if entry.name == name:
            exporter: Exporter = entry.load()()
            return exporter
    raise ConfigError(f"no exporter is called {name!r}", f"installed: {', '.join(exporter_names())}")


@cache
def _installed(path: tuple[str, ...]) -> EntryPoints:
    """What is registered on `sys.path`, read once: a look goes through the metadata of all installed packages."""
    return entry_points(group=GROUP)
