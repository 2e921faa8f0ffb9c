"""Where things are kept that are made once in a test run."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path


@cache
def scratch_folder() -> Path:
    """A directory that is gone when the test run ends."""
    folder = Path(tempfile.mkdtemp(prefix="splitkit-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
