"""The two sides of a system."""

from typing import Literal

Side = Literal["sensor", "aggregator"]
SIDES: tuple[Side, Side] = ("sensor", "aggregator")
