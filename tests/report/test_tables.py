"""Tables for people, on a terminal of 80 columns."""

import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from splitkit.report.tables import front_table
from tests.report.runs import finished


def test_a_front_of_large_numbers_is_readable_at_80_columns(tmp_path: Path) -> None:
    _, result = finished(tmp_path, feedback_rounds=0)
    large = {"sensor_us": 812345.0, "link_us": 123456.0, "aggregator_us": 234567.0, "payload_bytes": 1234567}
    points = tuple(replace(point, **large, peak_sensor_bytes=7654321) for point in result.points)
    written = io.StringIO()
    Console(file=written, width=80, markup=False).print(front_table(replace(result, points=points)))
    rows = [line for line in written.getvalue().splitlines() if "1234567" in line]
    assert len(rows) == len(points)
    assert "…" not in written.getvalue()
    for point, row in zip(points, rows, strict=True):
        for shown in (point.placement, "812345", "123456", "234567", "7654321", f"{point.total_us:.0f}"):
            assert shown in row
