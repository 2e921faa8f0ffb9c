"""From an object file to a shared library, with whatever C compiler there is."""

import platform
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from splitkit.errors import ToolchainError


def has_shared_libraries(triple: str | None) -> bool:
    """Whether a target has an operating system that loads libraries: `thumbv7em-none-eabihf` has none."""
    return triple is None or "none" not in triple.split("-")


def link_shared(objects: list[Path], library: Path, triple: str | None) -> None:
    """Link `objects` into `library` for `triple` (None: this machine).

    Raises:
        ToolchainError: no linker was found, or it failed.
    """
    command = linker(triple)
    command += ["-shared", "-o", str(library), *map(str, objects), *([] if "-nostdlib" in command else ["-lm"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise ToolchainError(f"linking {library.name} with {command[0]} failed: {reason}")


def linker(triple: str | None) -> list[str]:
    """The command that links for `triple`: a system compiler if there is one, else Zig's.

    Raises:
        ToolchainError: neither is installed; names both.
    """
    arch = (triple or platform.machine()).split("-")[0]
    native = arch == platform.machine()
    names = ["cc", "gcc", "clang"] if native else [f"{arch}-linux-gnu-gcc", f"{triple}-gcc"]
    for name in names:
        if shutil.which(name):
            return [name]
    if find_spec("ziglang") is not None:
        # Without the C library: Zig would first build its own, and whoever loads the library has one.
        return [sys.executable, "-m", "ziglang", "cc", "-target", f"{arch}-linux-gnu", "-nostdlib"]
    raise ToolchainError(
        f"no linker for {arch}: neither {names[0]} nor the Python package ziglang is installed",
        f"install {names[0]}, or pip install ziglang",
    )
