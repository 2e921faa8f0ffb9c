"""What the sensor's and the aggregator's programs share: how arguments are read, and errors in one line."""

import argparse
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path

from splitkit.addresses import parse_address
from splitkit.errors import SplitkitError

PORT = 4747
"""Where an aggregator listens unless told otherwise."""


def listening_address(text: str) -> tuple[str, int]:
    """Host and port as argparse's `type`; port 0 is any free one."""
    return _address(text, listening=True)


def peer_address(text: str) -> tuple[str, int]:
    """Host and port of somebody who listens, as argparse's `type`."""
    return _address(text, listening=False)


def _address(text: str, listening: bool) -> tuple[str, int]:
    try:
        return parse_address(text, PORT, listening)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def count(text: str) -> int:
    """A whole number from 1 on, as argparse's `type`."""
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 999999999")
    return int(text)


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """`--timeout`."""
    parser.add_argument(
        "--timeout", type=_seconds, default=30.0, metavar="SECONDS",
        help="how long a peer may be silent, beside a multiple of what the bundle's link takes (30)",
    )  # fmt: skip


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: more than 0 and at most 86400 seconds")
    return seconds


def to_stderr(line: str) -> None:
    """One line for whoever watches."""
    print(line, file=sys.stderr, flush=True)


def verify_key_option(parser: argparse.ArgumentParser) -> None:
    """`--verify-key`, which both programs hand to `load_bundle`: a compiled half is code."""
    parser.add_argument(
        "--verify-key", type=Path, metavar="PUB.pem", help="run the bundle only if this public key's owner signed it"
    )


def run_program(main: Callable[[], None]) -> int:
    """Run `main`; a user's mistake becomes one line on stderr and its exit code."""
    try:
        main()
    except SplitkitError as error:
        to_stderr(f"error: {error}")
        return error.exit_code
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        to_stderr(f"error: {place}{error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
