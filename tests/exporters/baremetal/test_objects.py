"""What is read off an object file: here of C whose frames and calls are known."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from splitkit.exporters.baremetal.objects import ObjectFile, read_object

pytestmark = pytest.mark.toolchain

SOURCE = """
extern float sinf(float);
extern void fill(volatile char *, int);
static const int table[64] = {1};

__attribute__((noinline)) void leaf(void) { volatile char room[1000]; room[0] = 1; room[999] = 2; }
__attribute__((noinline)) void caller(void) { volatile char room[500]; room[0] = 1; leaf(); room[499] = 2; }
__attribute__((noinline)) int look_up(int i) { return ((volatile const int *)table)[i]; }
float outside(float x) { return sinf(x) + 1; }
float through(float x) { return outside(x) * 2; }
void unbounded(int n) { volatile char room[n]; fill(room, n); room[0] = 1; }
int recursive(int n) { return n ? recursive(n - 1) * n + look_up(n) : 1; }
"""


@pytest.fixture
def read(tmp_path: Path, needs: Callable[..., None]) -> ObjectFile:
    needs("cc")
    (tmp_path / "a.c").write_text(SOURCE)
    flags = ["-O1", "-g", "-fno-asynchronous-unwind-tables", "-fno-optimize-sibling-calls", "-fno-inline", "-c"]
    subprocess.run(["cc", *flags, "a.c", "-o", "a.o"], cwd=tmp_path, check=True)
    return read_object(tmp_path / "a.o")


def test_frames_add_up_along_calls(read: ObjectFile) -> None:
    leaf, caller = read.stack_bytes("leaf"), read.stack_bytes("caller")
    assert leaf is not None
    assert caller is not None
    assert 500 <= caller - leaf < 600
    assert 870 <= leaf < 1100  # on x86 a leaf may use the 128 bytes below its stack pointer


def test_what_cannot_be_bounded_is_not(read: ObjectFile) -> None:
    assert read.stack_bytes("unbounded") is None
    assert read.stack_bytes("recursive") is None


def test_calls_out_of_the_object_are_found_through_others(read: ObjectFile) -> None:
    assert read.external_calls("through") == {"sinf"}
    assert read.external_calls("recursive") == set()
    assert read.undefined >= {"sinf", "fill"}


def test_constants_are_not_code(read: ObjectFile) -> None:
    assert 256 <= read.constant_bytes < 320
    assert read.code_bytes >= sum(function.code_bytes for function in read.functions.values())
