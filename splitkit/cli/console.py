"""Where commands print: people read stderr, programs read JSON on stdout."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from splitkit.processes import Stopped
from splitkit.progress import Status
from splitkit.reading import jsonable


class Stderr(Console):
    """Prints texts as they are: nothing in a path or a message is markup, and no line is broken within a path."""

    def __init__(self) -> None:
        super().__init__(stderr=True, markup=False, emoji=False)

    def print(self, *objects: Any, **options: Any) -> None:
        """As rich does; texts are left to the terminal to wrap."""
        super().print(*objects, **{"soft_wrap": all(isinstance(o, str) for o in objects), **options})

    def status(self, status: Any, **_: Any) -> Status:  # type: ignore[override]
        """Say what is being done, in the terminal's last line or in one of its own."""
        return Status(str(status), self)


stderr = Stderr()


@contextmanager
def only_first_speaks(rank: int) -> Iterator[None]:
    """Of several processes that do the same, let the first one alone say what it does and that it was stopped.

    Errors are everybody's: they may be different ones.
    """
    before, stderr.quiet = stderr.quiet, rank > 0
    try:
        yield
    except Stopped as stopped:
        if rank > 0:
            raise SystemExit(stopped.exit_code) from stopped
        raise
    finally:
        stderr.quiet = before


def print_json(body: Any) -> None:
    """One JSON document on stdout; numbers that are not finite are null."""
    json.dump(jsonable(body), sys.stdout, indent=1, allow_nan=False)
    sys.stdout.write("\n")
