"""What a name out of a manifest may mean."""

import os
import socket
from pathlib import Path

import pytest

from splitkit.errors import BundleError
from splitkit.inside import checked_name, file_inside, names_below, read_inside, sha256_inside

OUTSIDE = [
    "", ".", "..", "/", "/etc/passwd", "../x", "a/../x", "a/..", "./x", "a/./x", "a//x", "a/", "..\\x", "a\\x", "C:x",
    "C:/x", "//host/share", "\\\\host\\share", "x\0", "x\n", "\x7f", "\ud800", "a" * 256,
]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE, ids=ascii)
def test_a_name_that_may_lead_outside_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is no relative path"):
        checked_name(name)
    with pytest.raises(BundleError) as error:
        file_inside(tmp_path, name)
    assert "\n" not in str(error.value)


def test_a_file_below_is_found(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "é.bin").write_bytes(b"123")
    assert file_inside(tmp_path, "a b/é.bin") == tmp_path / "a b" / "é.bin"
    assert list(names_below(tmp_path)) == ["a b/é.bin"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["link", "broken link", "named pipe", "socket", "directory", "link to a directory"])
def test_what_is_no_regular_file_is_refused_unopened(tmp_path: Path, kind: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("secret")
    name, inside = "x", tmp_path / "x"
    match kind:
        case "link":
            inside.symlink_to(tmp_path / "real" / "file")
        case "broken link":
            inside.symlink_to(tmp_path / "nowhere")
        case "named pipe":
            os.mkfifo(inside)
        case "socket":
            socket.socket(socket.AF_UNIX).bind(os.path.relpath(inside))
        case "directory":
            inside.mkdir()
        case _:
            inside.symlink_to(tmp_path / "real")
            name = "x/file"
    for read in (file_inside, lambda d, n: read_inside(d, n, 99), lambda d, n: sha256_inside(d, n, 6)):
        with pytest.raises(BundleError, match=r"x: is a .*, where a (file|directory) should be"):
            read(tmp_path, name)


def test_a_device_is_refused() -> None:
    with pytest.raises(BundleError, match="is a device"):
        sha256_inside(Path("/dev"), "zero", 0)


def test_no_more_is_read_than_is_stated(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BundleError, match="1,099,511,627,776 bytes, 5 are stated"):
        sha256_inside(tmp_path, "sparse", 5)
    with pytest.raises(BundleError, match="larger than 5 bytes"):
        read_inside(tmp_path, "sparse", 5)
