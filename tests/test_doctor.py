"""`splitkit doctor` names what is missing, and what installs it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from splitkit.devices.toolchain import DEBIAN_PACKAGES, missing_packages, trouble
from splitkit.doctor import diagnose, other_machines


def test_a_missing_toolchain_is_a_note_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    checks = {check.name: check for check in diagnose()}
    for program, packages in DEBIAN_PACKAGES.items():
        check = checks[program]
        assert (check.ok, check.required) == (False, False)
        assert check.hint == f"apt-get install {packages}"
    assert "qemu-user-static" in missing_packages()
    assert "libnewlib-arm-none-eabi" in missing_packages()


def test_a_tool_that_is_there_but_fails_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needs: Callable[..., None]
) -> None:
    for program, body in (
        ("qemu-system-aarch64", 'echo "failed to find romfile" >&2; exit 1'),
        ("arm-none-eabi-gcc", 'echo "fatal error: string.h: No such file" >&2; exit 1'),
        ("qemu-arm-static", "exit 3"),
    ):
        (tmp_path / program).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    checks = {check.name: check for check in other_machines()}
    assert checks["qemu-system-aarch64"].detail == "does not work: failed to find romfile"
    assert checks["arm-none-eabi-gcc"].detail == "does not work: fatal error: string.h: No such file"
    assert checks["qemu-arm-static"].detail == "does not work: exit code 3"
    assert not any(checks[name].ok for name in ("qemu-system-aarch64", "arm-none-eabi-gcc", "qemu-arm-static"))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="qemu-arm-static: does not work"):
        needs("qemu-arm-static")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="qemu-arm-static: does not work"):
        needs("qemu-arm-static")


@pytest.mark.toolchain
@pytest.mark.parametrize("program", DEBIAN_PACKAGES)
def test_a_tool_that_works_passes_its_trial(program: str, needs: Callable[..., None]) -> None:
    needs(program)
    assert trouble(program) is None
