"""What reading a damaged file must come to: a value, or one line that says what is wrong. Never a hang."""

import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

from splitkit.errors import SplitkitError

LONGEST_S = 20


def read_all(file: Path, contents: Iterable[bytes], read: Callable[[Path], Any]) -> tuple[int, int]:
    """Read every content as `file`; how many were refused, and how many were read.

    Raises:
        AssertionError: reading ended in anything but a value or a one-line `SplitkitError`, or took too long.
    """
    refused = accepted = 0
    previous = signal.signal(signal.SIGALRM, _too_long)
    try:
        for number, content in enumerate(contents):
            file.write_bytes(content)
            signal.alarm(LONGEST_S)
            try:
                read(file)
                accepted += 1
            except SplitkitError as error:
                if "\n" in str(error).strip():
                    raise AssertionError(f"more than one line: {error}") from error
                refused += 1
            except BaseException as error:
                kept = file.with_name(f"case{number}-{file.name}")
                kept.write_bytes(content)
                raise AssertionError(f"{kept}: {type(error).__name__}: {error}") from error
            finally:
                signal.alarm(0)
    finally:
        signal.signal(signal.SIGALRM, previous)
    return refused, accepted


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"longer than {LONGEST_S} s")
