"""Find exporters by name through entry points; importing this module loads none of them."""

from splitkit.errors import ConfigError
from splitkit.exporters.protocol import Exporter
from splitkit.plugins import registered

GROUP = "splitkit.exporters"


def exporter_names() -> list[str]:
    """Names of every installed exporter, sorted."""
    return sorted({entry.name for entry in registered(GROUP)})


def get_exporter(name: str) -> Exporter:
    """Load and instantiate the exporter called `name`.

    Raises:
        ConfigError: no installed package registers that name.
    """
    for entry in registered(GROUP):
        if entry.name == name:
            exporter: Exporter = entry.load()()
            return exporter
    raise ConfigError(f"no exporter is called {name!r}", f"installed: {', '.join(exporter_names())}")
