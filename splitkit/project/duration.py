"""Durations as people write them."""

import re
from typing import Annotated

from pydantic import BeforeValidator

UNITS_S = {"s": 1, "m": 60, "h": 3600}


def seconds_of(text: str) -> float:
    """Seconds of a duration such as 90s, 20m or 2h.

    Raises:
        ValueError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if not match or float(match[1]) == 0:
        raise ValueError(f"{text!r}: a number with s, m or h is expected, such as 20m")
    return float(match[1]) * UNITS_S[match[2]]


def _from_file(value: object) -> object:
    return seconds_of(value) if isinstance(value, str) else value


Duration = Annotated[float, BeforeValidator(_from_file)]
"""Seconds, written "20m" in a file."""
