"""The generated pages of the site hold every key, and the README shows what the tests run."""

import re
import runpy
import subprocess
import sys
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
from pydantic import BaseModel

import splitkit as sk
from splitkit.cli.main import COMMANDS
from splitkit.devices.linux_cross.device import LinuxCrossOptions
from splitkit.devices.qemu_system.board import Board
from splitkit.devices.rpc.options import RpcOptions
from splitkit.profiles.schema import DeviceProfile, LinkProfile, System
from splitkit.project.config import Project
from splitkit.space.search_space import SearchSpace

ROOT = Path(__file__).parents[1]

NOT_IN_FILES = frozenset({"root", "runtimes"})
"""Fields of a project that are not keys."""


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """The generated pages, by path."""
    written: dict[str, StringIO] = {}
    stub = ModuleType("mkdocs_gen_files")

    @contextmanager
    def opened(path: str, mode: str) -> Any:
        assert mode == "w"
        written[path] = StringIO()
        yield written[path]

    stub.open = opened  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "mkdocs_gen_files", stub)
        runpy.run_path(str(ROOT / "docs/site/pages.py"))
    return {path: text.getvalue() for path, text in written.items()}


def keys_of(model: type[BaseModel]) -> set[str]:
    """Of a model and of those within it."""
    found = set(model.model_fields)
    for field in model.model_fields.values():
        for candidate in (field.annotation, *get_args(field.annotation)):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                found |= keys_of(candidate)
    return found


@pytest.mark.parametrize(
    ("page", "model"),
    [
        ("config", Project), ("spaces", SearchSpace), ("profiles", DeviceProfile), ("profiles", LinkProfile),
        ("profiles", System), ("profiles", Board), ("profiles", RpcOptions), ("profiles", LinuxCrossOptions),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)  # fmt: skip
def test_every_key_is_in_the_reference(page: str, model: type[BaseModel], pages: dict[str, str]) -> None:
    text = pages[f"reference/{page}.md"]
    missing = [name for name in keys_of(model) - NOT_IN_FILES if f"| `{name}` |" not in text]
    assert [name for name in missing if f"## [{name}]\n" not in text] == []


def test_every_command_and_every_public_name_is_in_the_reference(pages: dict[str, str]) -> None:
    assert [name for name in COMMANDS if f"splitkit.cli.{name}" not in pages["reference/commands.md"]] == []
    python = pages["reference/python/index.md"]
    assert [name for name in sk.__all__ if f"## sk.{name}\n" not in python] == []
    assert "At work in ." not in python, "a public name that no example uses"


def test_every_module_has_a_page(pages: dict[str, str]) -> None:
    every = "\n".join(pages.values())
    folders = [path.name for path in (ROOT / "splitkit").iterdir() if (path / "__init__.py").exists()]
    assert [name for name in folders if name not in ("cli",) and f"# splitkit.{name}\n" not in every] == []
    assert "::: splitkit.errors" in every


def test_the_readme_shows_the_example_that_the_tests_run() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    example = (ROOT / "examples/search.py").read_text(encoding="utf-8").split('"""', 2)[2]
    assert shown.strip() == example.strip()


def test_importing_splitkit_takes_a_moment_only() -> None:
    """Processor time of Python's own measurement: what else runs here does not matter much."""
    command = [sys.executable, "-X", "importtime", "-c", "import splitkit"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    modules = [line.rpartition("|")[2].strip() for line in said.splitlines() if line.startswith("import time:")]
    assert "splitkit" in modules
    assert not {"numpy", "torch", "tvm", "onnx", "click", "pydantic"} & set(modules)
