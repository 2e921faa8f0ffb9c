"""Colours of pages and pictures, so that a part of the system looks the same everywhere.

Orange, blue and teal stay apart for readers with any common colour blindness, and shapes tell the systems apart too.
Every colour has a contrast of at least 3:1 to its background (WCAG 2.2, 1.4.11), text at least 4.5:1.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """Hexadecimal colours. `sensor`, `aggregator` and `split` are also the colours of the three systems."""

    paper: str
    panel: str
    ink: str
    soft: str
    line: str
    sensor: str
    link: str
    aggregator: str
    split: str


LIGHT = Palette(
    paper="#ffffff",
    panel="#f6f7f9",
    ink="#1b2430",
    soft="#56616f",
    line="#d5dae1",
    sensor="#b34708",
    link="#76808d",
    aggregator="#1f63b5",
    split="#0a7f70",
)
DARK = Palette(
    paper="#14181e",
    panel="#1c222b",
    ink="#e8ecf1",
    soft="#a5b0bd",
    line="#36404c",
    sensor="#f0914a",
    link="#8e99a6",
    aggregator="#6aaaf5",
    split="#3fc4b1",
)

SHAPES = {"sensor": "triangle", "aggregator": "square", "split": "circle"}
"""Markers of the three systems."""
