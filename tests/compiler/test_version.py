"""What changes the version of generated code, and what does not."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import splitkit.compiler
from splitkit.compiler import source, version
from splitkit.compiler.source import definitions_digest, source_digest
from splitkit.exporters.registry import get_exporter
from splitkit.latency.rows import Conditions
from splitkit.latency.store import LutStore

SOURCE = '''
"""About the file."""

import math
from os import path as p

LANES = 16


@cache
def tile(width: int, *, height=4, **rest) -> float:
    """About the function."""
    import numpy
    # why
    if width < 0:
        raise ValueError(f"{width} is too small")
    return [f"{w:>{width}}" for w in range(width) if w % 2] + [width * 0.5, -1e-9, "a", b"b", None, True, ...]


class Spec(Base, frozen=True):
    pass
'''

SAME = {
    "a comment": ("# why", "# why not"),
    "no comment": ("    # why\n", ""),
    "the file's docstring": ("About the file.", "Concerning it."),
    "a function's docstring": ('    """About the function."""\n', ""),
    "an annotation": ("width: int", "width: float"),
    "no annotation": (" -> float", ""),
    "the layout": ("tile(width: int, *, height=4, **rest)", "tile(\n  width: int, *,\n  height=(4), **rest,\n)"),
    "quotes": ('"a"', "'a'"),
    "an import": ("from os import path as p", "from splitkit.moved import path as p"),
    "a local import": ("    import numpy\n", ""),
    "an import for type checkers": ("LANES = 16", "if TYPE_CHECKING:\n    import onnx\nLANES = 16"),
    "an error's message": ("is too small", "is less than nothing"),
}  # fmt: skip

OTHER = {
    "a number": ("16", "32"),
    "a number's type": ("0.5", "0"),
    "a sign": ("-1e-9", "1e-9"),
    "a comparison": ("width < 0", "width <= 0"),
    "a default": ("height=4", "height=5"),
    "a name": ("LANES", "LANE"),
    "a decorator": ("@cache\n", ""),
    "a format": (":>{", ":<{"),
    "a keyword": ("frozen=True", "frozen=False"),
    "a base": ("Base, ", ""),
    "a text": ('"a"', '"c"'),
    "text for bytes": ('b"b"', '"b"'),
    "a condition": (" if w % 2", ""),
    "another definition": ("LANES = 16", "LANES = 16\nLANES = 16"),
}


def digest_of(*sources: str) -> str:
    return definitions_digest([text.encode() for text in sources])


@pytest.mark.parametrize("what", SAME)
def test_the_version_stays_with(what: str) -> None:
    old, new = SAME[what]
    assert old in SOURCE
    assert digest_of(SOURCE.replace(old, new)) == digest_of(SOURCE)


@pytest.mark.parametrize("what", OTHER)
def test_the_version_changes_with(what: str) -> None:
    old, new = OTHER[what]
    assert old in SOURCE
    assert digest_of(SOURCE.replace(old, new)) != digest_of(SOURCE)


def test_definitions_may_stand_in_any_file_in_any_order() -> None:
    first, second = SOURCE.split("@cache")
    assert digest_of("@cache" + second, "import math\n", first) == digest_of(SOURCE)


def test_every_python_gives_the_same_digits() -> None:
    """Stated here, so that each version that the tests run on is compared with the others."""
    assert digest_of(SOURCE)[:16] == "f9ac215bd1bc7d6b"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the compiler's source."""
    (root,) = splitkit.compiler.__path__
    return Path(shutil.copytree(root, tmp_path / "compiler", ignore=shutil.ignore_patterns("__pycache__")))


def test_moving_a_file_keeps_the_version(package: Path) -> None:
    before = source_digest(package)
    (package / "kernels" / "dense.py").rename(package / "convolution.py")
    assert source_digest(package) == before
    with (package / "convolution.py").open("a") as file:
        file.write("\nMOST = 3\n")
    assert source_digest(package) != before


def test_a_file_may_move_from_one_package_to_another(package: Path) -> None:
    other = package.with_name("reading")
    other.mkdir()
    before = source_digest(package, other)
    (package / "arena.py").rename(other / "arena.py")
    assert source_digest(package, other) == before
    assert source_digest(package) != before


def test_what_an_earlier_process_found_is_believed_of_the_same_bytes_alone(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    first = source_digest(package)
    monkeypatch.setattr(source, "definitions_digest", lambda sources: "f" * 64)
    assert source_digest(package) == first
    (kept,) = package.rglob(source.CACHE)
    for damage in ("", "[]", '{"of": 1}', kept.read_text()[:40]):
        kept.write_text(damage)
        assert source_digest(package) == "f" * 8
    with (package / "arena.py").open("a") as file:
        file.write("\nMOST = 3\n")
    monkeypatch.setattr(source, "definitions_digest", lambda sources: "e" * 64)
    assert source_digest(package) == "e" * 8


def test_the_version_costs_little(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    source_digest(package)
    start = time.process_time()
    source_digest(package)
    assert time.process_time() - start < 0.05


def test_finding_the_version_imports_no_compiler() -> None:
    code = "import sys; from splitkit.compiler.version import code_version; code_version(); print('tvm' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_a_version_with_the_same_kernels_goes_by_the_older_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = source_digest(*version.SOURCES, apart_from=version.NOT_GENERATING)
    prefix = version.code_version().rpartition("/")[0]
    monkeypatch.setattr(version, "SAME_KERNELS", {own: "0123abcd", "ffffffff": "eeeeeeee"})
    version.code_version.cache_clear()
    try:
        found = get_exporter("tvm").version
    finally:
        version.code_version.cache_clear()
    assert found == f"{prefix}/0123abcd"
    with LutStore(tmp_path / "lut.db") as store:
        measured = store.condition(Conditions("this machine", "tvm", f"{prefix}/0123abcd", "target"))
        assert store.condition(Conditions("this machine", "tvm", found, "target")) == measured


def test_entries_of_equal_kernels_name_digests() -> None:
    from splitkit.exporters.baremetal import version as baremetal

    for entries in (version.SAME_KERNELS, baremetal.SAME_KERNELS):
        for digits in (*entries, *entries.values()):
            assert len(digits) == 8
            assert int(digits, 16) >= 0
