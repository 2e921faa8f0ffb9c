"""What installed packages register under the names of splitkit's entry points."""

import sys
from functools import cache
from importlib.metadata import EntryPoints, entry_points


def registered(group: str) -> EntryPoints:
    """Entry points of one group. Nothing is loaded."""
    return _on_path(group, tuple(sys.path))


@cache
def _on_path(group: str, path: tuple[str, ...]) -> EntryPoints:
    """Read once for each `sys.path`: a look goes through the metadata of all installed packages."""
    return entry_points(group=group)
