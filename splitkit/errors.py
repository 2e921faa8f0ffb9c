"""The mistakes a user can make, one class per kind.

Every message is one line that names the file and the field and says what would be right; the command line
prints it without a traceback and exits with `exit_code`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def reason(error: Exception) -> str:
    """Why something could not be read or written, in one line, without the number and the path that Python repeats."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, UnicodeError):
        return "not UTF-8 text"
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def named_as(original: Path, copy: Path, hint: str | None = None) -> Iterator[None]:
    """Mistakes found in a copy are told of the user's own file; `hint`, if given, takes the place of theirs."""
    try:
        yield
    except SplitkitError as error:
        told = str(error.args[0])
        if str(copy) in told:
            error.args = (told.replace(str(copy), str(original)),)
            error.hint = hint or error.hint
        raise


class SplitkitError(Exception):
    """Something the user can mend. `hint` says how."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message} ({self.hint})" if self.hint else message


class ConfigError(SplitkitError):
    """A configuration or profile file, or a command-line value, that cannot be used."""

    exit_code = 2


class StorageError(SplitkitError):
    """A file or directory that cannot be written now: no permission, no room on the disk, or somebody else has it."""


class ModelError(SplitkitError):
    """An ONNX file or graph that cannot be read, cut or compiled."""


class DataError(SplitkitError):
    """A data set that is missing, empty or malformed."""


class CheckpointError(SplitkitError):
    """A checkpoint that cannot be read, or that belongs to another search space."""


class TrainingError(SplitkitError):
    """Training that diverged, or weights that it left of no use."""


class BundleError(SplitkitError):
    """A bundle whose files do not match its manifest."""


class VerificationError(SplitkitError):
    """Halves that do not agree with the whole."""


class LinkError(SplitkitError):
    """The peer on the link is gone, or speaks of another bundle."""


class ClusterError(SplitkitError):
    """Other machines to compute on that cannot be reached, or that were lost."""


class ToolchainError(SplitkitError):
    """A compiler, linker or emulator that is missing or failed."""


class DeviceError(SplitkitError):
    """A device that cannot run what it was asked to run."""
