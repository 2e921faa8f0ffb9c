"""Damaged files and senseless arguments: 600 and more, none of which may end in a traceback or a hang."""

import random
import signal
from collections.abc import Iterator, Sequence
from importlib import import_module, resources
from pathlib import Path
from types import FrameType

import click
import pytest
from click.testing import CliRunner, Result

from splitkit.cli.main import COMMANDS, main
from splitkit.project.config import TEMPLATE
from tests.reliability.mutate import damaged

LONGEST_S = 60
VALUES = (
    "", " ", "-1", "0", "nan", "inf", "-inf", "1e999", "0x10", "²", "٣", "1_0", "true", "None", "9" * 30, "9" * 5000,
    "a\nb", "..", "../../x", "/", "/dev/null", "/dev/zero/x", "[b]", "[/b]", ":smile:", "\udcff", "é" * 200, "x" * 5000,
    "%s%n", "{x}", "$HOME", "~nobody/x", "*", "-", "--", "--help", "first:", "first:²", "first:-1", "first:" + "9" * 30,
    ":", "=", "sensor=", "=tvm", "sensor=tvm=tvm", "20", "s", "-5s", "infs", "²s", "1e5s", "9" * 400 + "h", "host:0",
    "host:99999", "[::1]", "a.toml", ".toml", "/.toml", "splitkit.toml", "space.toml", "tiny", "demo", "hmd",
)  # fmt: skip
SETTINGS = """
run = "r"
space = "tiny"
system = "hmd"
[data]
source = "nowhere"
"""
"""Of a project in which nothing gets as far as working for long."""


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """What takes long on a busy machine, and must not be stopped half-way."""
    for module in ("splitkit.project.steps", "splitkit.runtime.measure", "splitkit.training", "splitkit.bundle.export"):
        import_module(module)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "splitkit.toml").write_text(SETTINGS)
    (tmp_path / "space.toml").write_bytes(packaged("splitkit.space", "presets/tiny.toml"))
    return tmp_path


def packaged(package: str, name: str) -> bytes:
    return (resources.files(package) / name).read_bytes()


class Hang(BaseException):
    """Nothing that anybody would catch."""


def invoke(arguments: Sequence[str]) -> Result:
    """Run a command, which must end well or with a line that says why not, and soon."""

    def too_long(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(LONGEST_S)
    try:
        result = CliRunner().invoke(main, list(arguments))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    shown = [argument[:80] for argument in arguments]
    assert result.exception is None or isinstance(result.exception, SystemExit), (shown, result.exc_info)
    assert result.exit_code in (0, 1, 2), shown
    if result.exit_code:
        said = result.stderr.strip().splitlines()
        assert said, shown
        assert said[-1].startswith(("splitkit: ", "Error: ")) or "splitkit: " in result.stderr, (shown, said[-1])
    return result


def some_arguments(name: str, count: int, seed: int) -> Iterator[list[str]]:
    """Arguments of a command, each option with a value that may be senseless."""
    command = main.get_command(click.Context(main), name)
    assert command is not None
    rng = random.Random(f"{name} {seed}")
    options = [p for p in command.params if isinstance(p, click.Option) and not p.is_flag]
    operands = [p for p in command.params if isinstance(p, click.Argument)]
    for _ in range(count):
        words = [name]
        for option in rng.sample(options, min(len(options), rng.randint(1, 3))):
            words += [option.opts[0], rng.choice(VALUES)]
        if name == "demo":  # it would begin
            words += ["--system", "nowhere"]
        if name == "bench" and rng.random() < 0.7:
            words += ["--target", rng.choice(["sensor", "aggregator"])]
        elif operands or name == "profiles":
            words += (["show"] if name == "profiles" else []) + [rng.choice(VALUES)]
        if name == "export" and "--split" not in words:
            words += ["--split", "r", "-o", "out"]
        yield words


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "doctor"])
def test_senseless_arguments(name: str) -> None:
    codes = [invoke(words).exit_code for words in some_arguments(name, 60, seed=1)]
    assert sum(code != 0 for code in codes) > 20


@pytest.mark.parametrize("what", ["project", "space", "system", "device", "link"])
def test_damaged_files(what: str, here: Path) -> None:
    sound = {
        "project": TEMPLATE.format(space='"tiny"', system='"hmd"', data='"nowhere"', run="r").encode(),
        "space": packaged("splitkit.space", "presets/tiny.toml"),
        "system": packaged("splitkit.profiles", "systems/hmd.toml"),
        "device": packaged("splitkit.profiles", "devices/hmd-sensor.toml"),
        "link": packaged("splitkit.profiles", "links/mipi-csi2.toml"),
    }[what]
    commands = {"project": ["train", "--data", "nowhere"], "space": ["init", "--force", "--space", "x.toml"]}
    system = ["init", "--force", "--system", "y.toml" if what in ("device", "link") else "x.toml"]
    parts = {"device": 'sensor = "x.toml"\nlink = "mipi-csi2"', "link": 'sensor = "hmd-sensor"\nlink = "x.toml"'}
    (here / "y.toml").write_text(f'name = "y"\n{parts.get(what, "")}\naggregator = "ar-soc"\n')
    codes = []
    for content in damaged(sound, 50, seed=11):
        (here / ("splitkit.toml" if what == "project" else "x.toml")).write_bytes(content)
        codes.append(invoke(commands.get(what, system)).exit_code)
    assert sum(code != 0 for code in codes) > 10, "damage that is never noticed tests nothing"


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + SETTINGS.encode(),
        b"space = " + b"[" * 100_000,
        b"a = {b = " * 5_000,
        b"seed = " + b"9" * 10_000,
        b"\x00" * 1000,
        SETTINGS.encode("utf-16"),
        b"seed = nan\nspace = 'tiny'\nsystem = 'hmd'",
        b"a." * 2_000 + b"b = 1",
        b'space = "\\u0000.toml"\nsystem = "hmd"',
        b'space = "tiny"\nsystem = "x/\\u0000"',
        b'space = "tiny"\nsystem = "hmd"\n[data]\nsource = "a\\u0000"',
    ],
    ids=[
        "mark",
        "lists",
        "tables",
        "digits",
        "zeros",
        "utf-16",
        "nan",
        "dots",
        "null in space",
        "null in system",
        "null in data",
    ],
)
def test_files_that_break_parsers(content: bytes, here: Path) -> None:
    (here / "splitkit.toml").write_bytes(content)
    result = invoke(["train"])
    if content.startswith(b"\xef\xbb\xbf"):
        assert "nowhere" in result.stderr, "a byte-order mark is none of the settings"
    else:
        assert result.exit_code
        assert "splitkit.toml" in result.stderr or "\0" in result.stderr
