"""TVM writes warnings to the process's standard error from C++; they are about its own insides, not about a model."""

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile

_LOGGED = re.compile(rb"\[\d\d:\d\d:\d\d\] \S+\.(cc|cpp|h|cu):\d+: ")
_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back the standard error of the process, then pass on what other threads wrote there meanwhile."""
    with _ONE_AT_A_TIME, TemporaryFile() as held:
        sys.stderr.flush()
        standard_error = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(standard_error, 2)
            os.close(standard_error)
            held.seek(0)
            if others := b"".join(line for line in held if not _LOGGED.match(line)):
                os.write(2, others)
