"""Damaged sessions on the wire: what `benchmarks/wire_fuzz.py` counts, a few here, all of them with the slow tests."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "wire_fuzz.py"


def fuzzed(*arguments: str) -> dict[str, Any]:
    """What the benchmark reports; in a process of its own, whose memory it limits."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--json", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout))


def test_damaged_sessions_end_in_one_line() -> None:
    report = fuzzed("--inputs", "3000", "--seed", "3")
    figures = report["figures"]
    assert (figures["inputs"], figures["tracebacks"], figures["hangs"]) == (3000, 0, 0)
    assert figures["grown_mib"] < 64
    for row in report["rows"]:
        assert row["refused"] > 300, "damage that is never noticed tests nothing"
        assert row["accepted"] > 20, "damage that is always noticed at once gets nowhere"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_damaged_sessions_in_each_language_end_in_one_line() -> None:
    figures = fuzzed("--inputs", "120000", "--cpp")["figures"]
    assert figures["inputs"] == 240_000
    assert (figures["tracebacks"], figures["hangs"]) == (0, 0)
    assert figures["grown_mib"] < 64
