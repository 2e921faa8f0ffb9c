"""`splitkit doctor` names what is missing, and what installs it."""

import pytest

from splitkit.devices.toolchain import DEBIAN_PACKAGES, missing_packages
from splitkit.doctor import diagnose


def test_a_missing_toolchain_is_a_note_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    checks = {check.name: check for check in diagnose()}
    for program, packages in DEBIAN_PACKAGES.items():
        check = checks[program]
        assert (check.ok, check.required) == (False, False)
        assert check.hint == f"apt-get install {packages}"
    assert "qemu-user-static" in missing_packages()
    assert "libnewlib-arm-none-eabi" in missing_packages()
