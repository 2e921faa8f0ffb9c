"""What every benchmark prints: a table, or with --json one object of a fixed form."""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.table import Table

from splitkit.reading import jsonable

SCHEMA_VERSION = 1


def machine() -> dict[str, Any]:
    """The machine and the versions a figure depends on."""
    model = platform.processor() or "unknown"
    try:
        with open("/proc/cpuinfo") as info:
            model = next(line.split(":", 1)[1].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    packages = ("apache-tvm", "onnxruntime", "torch", "numpy")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "versions": {name: version(name) for name in packages},
    }


def emit(
    benchmark: str,
    figures: Mapping[str, float],
    rows: Sequence[Mapping[str, Any]],
    *,
    as_json: bool,
    notes: str = "",
) -> None:
    """Print the table of `rows` and `figures`, or the JSON object when `as_json`."""
    if as_json:
        body = {
            "schema_version": SCHEMA_VERSION,
            "benchmark": benchmark,
            "machine": machine(),
            "figures": dict(figures),
            "rows": [dict(row) for row in rows],
        }
        json.dump(jsonable(body), sys.stdout, indent=1, allow_nan=False)
        print()
        return
    console = Console()
    if rows:
        table = Table(title=benchmark)
        for column in rows[0]:
            table.add_column(column, justify="left" if isinstance(rows[0][column], str) else "right")
        for row in rows:
            table.add_row(*(_cell(value) for value in row.values()))
        console.print(table)
    for name, value in figures.items():
        console.print(f"{name}: [bold]{value:.4g}[/bold]")
    if notes:
        console.print(notes)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def status(text: str) -> None:
    """One line that replaces the last, on stderr."""
    print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
