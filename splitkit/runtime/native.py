"""The C++ runner built for this machine: one executable that loads any half the `tvm` exporter compiled for it.

It is compiled once, by whatever C++ compiler there is, into `native-HASH/runner` of the user's cache directory
(`~/.cache/splitkit` unless XDG_CACHE_HOME says otherwise), where HASH is that of its sources and of how they are
compiled. Where that directory cannot be written it is compiled anew by every process that needs it.
"""

import atexit
import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from platformdirs import user_cache_path

from splitkit.devices.linux_cross.build import BINDING
from splitkit.errors import ToolchainError

FLAGS = ("-std=c++17", "-O2")
LINK_FLAGS = ("-rdynamic", "-ldl")
"""Halves call back into the executable that loads them."""

COMPILERS = ("c++", "g++", "clang++")


@cache
def native_runner() -> Path:
    """The runner for this machine, compiled now if it was not before.

    Raises:
        ToolchainError: there is no C++ compiler, it failed, or this is not Linux.
    """
    if platform.system() != "Linux":
        raise ToolchainError("the native runtime needs Linux")
    with resources.as_file(resources.files("splitkit.devices.linux_cross") / "runner") as folder:
        sources = sorted(path for path in folder.iterdir() if path.suffix in (".cpp", ".h") and path.name != BINDING)
        directory = user_cache_path("splitkit") / f"native-{runner_version()}"
        runner = directory / "runner"
        if _runs(runner):
            return runner
        command = [*_compiler(), *FLAGS, *(str(path) for path in sources if path.suffix == ".cpp")]
        with tempfile.TemporaryDirectory(prefix="splitkit-") as scratch:
            built = Path(scratch) / "runner"
            _run([*command, "-o", str(built), *LINK_FLAGS])
            try:
                directory.mkdir(parents=True, exist_ok=True, mode=0o700)
                if _runs(_put(built, runner)):
                    return runner
            except OSError:
                pass  # no such place, or no right to write there
            own = Path(tempfile.mkdtemp(prefix="splitkit-native-"))
            atexit.register(shutil.rmtree, own, ignore_errors=True)
            if not _runs(_put(built, own / "runner")):
                raise ToolchainError("what the C++ compiler makes does not run here")
            return own / "runner"


@cache
def runner_version() -> str:
    """The hash of the runner's sources and of how they are compiled, 12 digits."""
    digest = hashlib.sha256(" ".join((*FLAGS, *LINK_FLAGS, platform.machine())).encode())
    folder = resources.files("splitkit.devices.linux_cross") / "runner"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name != BINDING:
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def _compiler() -> list[str]:
    """The command of a system compiler if there is one, else of Zig's."""
    for name in COMPILERS:
        if path := shutil.which(name):
            return [path]
    if find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "c++", "-target", f"{platform.machine()}-linux-gnu"]
    raise ToolchainError("no C++ compiler", f"install {COMPILERS[1]}, or pip install ziglang")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr.strip() or "no message").splitlines()
        raise ToolchainError(f"{command[0]} failed: {next((line for line in lines if 'error' in line), lines[-1])}")


def _runs(runner: Path) -> bool:
    """Whether it is there, whole, and may be run where it is."""
    try:
        return subprocess.run([str(runner), "--help"], capture_output=True, check=False, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _put(built: Path, place: Path) -> Path:
    """Copy into place whole: another process may be doing the same, or may be running it."""
    with tempfile.NamedTemporaryFile(dir=place.parent, prefix=".runner-", delete=False) as beside:
        path = Path(beside.name)
    try:
        shutil.copy(built, path)
        path.chmod(0o700)
        path.replace(place)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return place
