"""Reports of searches of every kind, and a browser to look at them with."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from splitkit.project.reporting import report_step
from tests.report.browser import COMMAND, Page, browser
from tests.report.runs import finished

STATES = {
    "three-systems": {},
    "multi-view": {"views": 2},
    "one-system": {"sensor_us": 1.0, "feedback_rounds": 1},
    "no-measurements": {"feedback_rounds": 0},
    "empty-front": {"total_us": 0.001},
}
"""What a page can look like, by name: the settings of a search that comes out so."""

ARTIFACTS = Path(__file__).parents[2] / "build" / "test-artifacts" / "report"
"""Where screenshots are left to be looked at."""


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of every state; its pictures are beside it."""
    made = {}
    for name, settings in STATES.items():
        project, _ = finished(tmp_path_factory.mktemp(name), **settings)
        made[name] = report_step(project)[0]
    return made


@pytest.fixture(scope="session")
def page() -> Iterator[Page]:
    """A page in a real browser."""
    if COMMAND is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: apt-get install chromium")
        pytest.skip("no Chromium: apt-get install chromium")
    with browser() as opened:
        yield opened
