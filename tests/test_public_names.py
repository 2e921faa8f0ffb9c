"""`import splitkit as sk`: what is public is there, is cheap, and is shown at work."""

import subprocess
import sys
from pathlib import Path

import pytest

import splitkit as sk

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("name", sk.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(sk, name) is not None
    assert name in dir(sk)


@pytest.mark.parametrize("name", sk.__all__)
def test_every_public_name_is_at_work_in_an_example(name: str) -> None:
    assert any(f"sk.{name}" in example.read_text() for example in EXAMPLES)


def test_a_name_that_is_not_public_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sk.nothing


def test_importing_loads_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import splitkit; print(sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    names = {name for name in eval(loaded) if name.split(".")[0] not in sys.stdlib_module_names}
    assert names == {"splitkit"}


@pytest.mark.parametrize("name", ["bench", "partition", "search"])
def test_a_function_is_that_whether_or_not_the_package_of_its_name_was_imported(name: str) -> None:
    code = f"""
import splitkit.{name}
import splitkit as sk
assert splitkit.{name}.__path__
try:
    sk.{name}()
except TypeError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "missing" in said


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(example: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(example)], cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_a_search_takes_no_more_than_fifteen_lines() -> None:
    text = (Path(__file__).parents[1] / "examples" / "search.py").read_text().split('"""', 2)[2]
    assert len([line for line in text.splitlines() if line.strip()]) <= 15
