"""What every test may ask for, and which of them must have the machine for themselves."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from splitkit.devices.toolchain import install_line, trouble

QUIET = (
    "bench/", "cli/test_demo.py", "cli/test_runtime.py", "compiler/test_kernels.py",
    "devices/linux_cross/test_interoperation.py",
    "devices/test_host.py", "devices/test_rpc.py", "devices/test_timing.py", "exporters/test_third_party.py",
    "exporters/tvm/test_counter.py", "project/test_loop.py", "runtime/", "search/test_with_tables.py",
    "test_processes.py", "tuning/",
)  # fmt: skip
"""Tests that compare times, or play a system on pinned processors: marked `quiet`, nothing may run beside them."""


settings.register_profile("splitkit", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("splitkit")


@pytest.hookimpl(tryfirst=True)  # before marks decide what is run
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).as_posix().startswith(QUIET):
            item.add_marker("quiet")


@pytest.fixture
def needs() -> Callable[..., None]:
    """`needs("qemu-system-arm", ...)`: skip where a program is missing or does not work, saying why; in CI, fail."""

    def check(*programs: str) -> None:
        for program in programs:
            if (why := trouble(program)) is not None:
                complain = pytest.fail if os.environ.get("CI") else pytest.skip
                complain(f"{program}: {why}: {install_line(program)}")

    return check
