"""What every test may ask for."""

import os
import shutil
from collections.abc import Callable

import pytest
from hypothesis import settings

from splitkit.devices.toolchain import install_line

# How long an example takes says nothing here: machines are shared, and first calls import.
settings.register_profile("splitkit", deadline=None)
settings.load_profile("splitkit")


@pytest.fixture
def needs() -> Callable[..., None]:
    """`needs("qemu-system-arm", ...)`: skip where a program is missing, with its install line; in CI, fail."""

    def check(*programs: str) -> None:
        for program in programs:
            if shutil.which(program) is None:
                complain = pytest.fail if os.environ.get("CI") else pytest.skip
                complain(f"{program} is not installed: {install_line(program)}")

    return check
