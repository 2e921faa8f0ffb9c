"""What the sensor's and the aggregator's programs share: addresses, and errors in one line."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from splitkit.errors import SplitkitError


def address(text: str) -> tuple[str, int]:
    """`host:port` as argparse's `type`."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host, int(port)


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
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0
