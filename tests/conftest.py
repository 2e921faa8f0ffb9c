"""What every test may ask for."""

import os
from collections.abc import Callable

import pytest

from splitkit.devices.toolchain import install_line, trouble


@pytest.fixture
def needs() -> Callable[..., None]:
    """`needs("qemu-system-arm", ...)`: skip where a program is missing or does not work, saying why; in CI, fail."""

    def check(*programs: str) -> None:
        for program in programs:
            if (why := trouble(program)) is not None:
                complain = pytest.fail if os.environ.get("CI") else pytest.skip
                complain(f"{program}: {why}: {install_line(program)}")

    return check
