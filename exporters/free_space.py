"""Make sure of free space before native code writes a file."""

import os
import tempfile
from pathlib import Path

from splitkit.errors import ToolchainError

OBJECT_BYTES = 4 << 20
"""More than the object file of any network here."""


def require_free_space(directory: Path, size_bytes: int = OBJECT_BYTES) -> None:
    """Find out whether a file of so many bytes can be written into `directory`; nothing is left there.

    LLVM ends the whole process when it cannot write an object file, so this is asked first.

    Raises:
        ToolchainError: it cannot: the disk is full, or a limit is in the way.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with tempfile.TemporaryFile(dir=directory) as probe:
        try:
            os.posix_fallocate(probe.fileno(), 0, size_bytes)
        except OSError as error:
            raise ToolchainError(
                f"{directory}: no space to compile in: {error.strerror}", f"{size_bytes >> 20} MiB should be free there"
            ) from error
