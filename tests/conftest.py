"""What every test may ask for."""

import os
import shutil
from collections.abc import Callable

import pytest

from splitkit.devices.toolchain import install_line


@pytest.fixture
def needs() -> Callable[..., None]:
    """`needs("qemu-system-arm", ...)`: skip where a program is missing, with its install line; in CI, fail."""

    def check(*programs: str) -> None:
        for program in programs:
            if shutil.which(program) is None:
                complain = pytest.fail if os.environ.get("CI") else pytest.skip
                complain(f"{program} is not installed: {install_line(program)}")

    return check
