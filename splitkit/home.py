"""A home directory and a user's name for libraries that insist on them, where a process has none.

In containers HOME may be unset or not writable, and the user's number in no list of users.
"""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def lent_home(directory: Path) -> Iterator[None]:
    """Let this process and those it starts find in `directory` what they do not have; for the time being."""
    lent = {}
    home = os.path.expanduser("~")
    if not os.path.isabs(home):
        lent["HOME"] = str(directory)
    if not os.access(home, os.W_OK):
        lent |= {name: str(directory / name.lower()) for name in ("MPLCONFIGDIR", "XDG_CACHE_HOME")}
    try:
        getpass.getuser()
    except (KeyError, OSError):  # Python 3.13 raises the latter
        lent["LOGNAME"] = f"user{os.getuid()}"
    lent = {name: value for name, value in lent.items() if not os.environ.get(name)}
    os.environ.update(lent)
    try:
        yield
    finally:
        for name in lent:
            os.environ.pop(name, None)
