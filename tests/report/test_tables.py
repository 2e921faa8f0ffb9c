"""Tables for people, on a terminal of 80 columns."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from splitkit.report.tables import demo_table, front_table, stage_table
from splitkit.runtime.measure import STAGES, SystemMeasurement
from tests.report.runs import finished


def lines_of(table: Table) -> list[str]:
    written = io.StringIO()
    Console(file=written, width=80, markup=False).print(table)
    lines = written.getvalue().splitlines()
    assert all(len(line) <= 80 and "…" not in line for line in lines)
    return lines


def test_a_front_of_large_numbers_is_readable_at_80_columns(tmp_path: Path) -> None:
    _, result = finished(tmp_path, feedback_rounds=0)
    large = {"sensor_us": 812345.0, "link_us": 123456.0, "aggregator_us": 234567.0, "payload_bytes": 1234567}
    points = tuple(replace(point, **large, peak_sensor_bytes=7654321) for point in result.points)
    rows = [line for line in lines_of(front_table(replace(result, points=points))) if "1234567" in line]
    assert len(rows) == len(points)
    for point, row in zip(points, rows, strict=True):
        for shown in (point.placement, "812345", "123456", "234567", "7654321", f"{point.total_us:.0f}"):
            assert shown in row


def test_stages_of_long_names_and_large_numbers_are_readable_at_80_columns() -> None:
    us = {name: np.full(3, 1234567.0) for name in STAGES}
    label = "estimated: counted instructions x 1.25 CPI / 480 MHz of an emulated board (QEMU mps2-an500)"
    measured = SystemMeasurement(
        **us, sensor_label=label, aggregator_label=label, link_profile_us=1234000.0,
        runtime="python: the sensor is run by qemu_system and baremetal", predicted=dict.fromkeys(us, 2345678.0),
        scores_error=0.0, top1_agreement=1.0, found={},
    )  # fmt: skip
    lines = lines_of(stage_table(measured))
    for stage in ("sensor", "link", "aggregator", "total"):
        (row,) = [line for line in lines if line.split()[1:2] == [stage]]
        assert "1234567" in row
        assert "2345678" in row
        assert "+90.0%" in row
    assert " ".join(label.split()[-2:]) in " ".join(" ".join(lines).split())


def test_the_demos_three_systems_are_readable_at_80_columns() -> None:
    system = {
        "test_accuracy": 0.99, "predicted_total_us": 12345678.0, "measured_total_us": 12345678.0,
        "sensor_us": 12345678.0, "link_us": 12345678.0, "aggregator_us": 12345678.0, "payload_bytes": 7654321,
        "peak_sensor_bytes": 7654321,
        "labels": {"sensor": "estimated: counted instructions x CPI / clock", "aggregator": "measured"},
    }  # fmt: skip
    names = ("all_on_sensor", "all_on_aggregator", "split")
    summary = {"space": "tiny", "system": "m7-host", "systems": dict.fromkeys(names, system), "comparison": None}
    rows = [line for line in lines_of(demo_table(summary)) if "12345678" in line or "7654321" in line]
    assert len(rows) == 7
    assert all(row.count("12345678") == 3 or row.count("7654321") == 3 for row in rows)
