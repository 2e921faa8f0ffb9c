"""`splitkit keys`: what it writes, and what it never does."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from splitkit.cli.main import main

FILES = {"ca.pem", "ca.key", "sensor.pem", "sensor.key", "aggregator.pem", "aggregator.key"}


def test_key_files_are_their_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        result = CliRunner().invoke(main, ["keys", str(tmp_path / "keys")])
    finally:
        os.umask(before)
    assert result.exit_code == 0
    files = {file.name: file for file in (tmp_path / "keys").iterdir()}
    assert files.keys() == FILES
    for name, file in files.items():
        assert file.stat().st_mode & 0o777 == (0o600 if name.endswith(".key") else 0o644)
    assert len(result.stderr.splitlines()) == len(FILES)
    for name in FILES:
        assert f"{tmp_path / 'keys' / name}: " in result.stderr


def test_json_says_which_files_are_secret(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["keys", str(tmp_path), "--json"])
    described = {file["name"]: file["secret"] for file in json.loads(result.stdout)["files"]}
    assert described == {name: name.endswith(".key") for name in FILES}


@pytest.mark.parametrize("there", ["aggregator.key", "ca.pem"])
def test_nothing_is_ever_replaced(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("precious")
    (tmp_path / "notes.txt").write_text("also")
    result = CliRunner().invoke(main, ["keys", str(tmp_path)])
    assert result.exit_code == 2
    assert (
        result.stderr
        == f"splitkit: {tmp_path / there}: is there already (keys are never replaced: name a new directory)\n"
    )
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {there: "precious", "notes.txt": "also"}


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "ca.key").symlink_to(tmp_path / "elsewhere")
    assert CliRunner().invoke(main, ["keys", str(tmp_path / "keys")]).exit_code == 2
    assert not (tmp_path / "elsewhere").exists()


def test_a_failure_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: Path, target: Path) -> None:
        if target.name == "sensor.key":
            raise OSError(28, "No space left on device", str(target))
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr(os, "link", link)
    result = CliRunner().invoke(main, ["keys", str(tmp_path)])
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_each_certificate_is_good_for_its_own_role_only(tmp_path: Path) -> None:
    """As OpenSSL's own command judges them."""
    if subprocess.run(["sh", "-c", "command -v openssl"], capture_output=True, check=False).returncode != 0:
        pytest.skip("openssl is not installed")
    assert CliRunner().invoke(main, ["keys", str(tmp_path)]).exit_code == 0
    for role, purpose in (("sensor", "sslclient"), ("aggregator", "sslserver")):
        for other in ("sslclient", "sslserver"):
            command = ["openssl", "verify", "-x509_strict", "-CAfile", str(tmp_path / "ca.pem"), "-purpose", other]
            done = subprocess.run([*command, str(tmp_path / f"{role}.pem")], capture_output=True, check=False)
            assert (done.returncode == 0) == (other == purpose), done.stderr
