"""Where commands print: people read stderr, programs read JSON on stdout."""

import json
import sys
from typing import Any

from rich.console import Console

stderr = Console(stderr=True)


def print_json(body: Any) -> None:
    """One JSON document on stdout."""
    json.dump(body, sys.stdout, indent=1)
    sys.stdout.write("\n")
