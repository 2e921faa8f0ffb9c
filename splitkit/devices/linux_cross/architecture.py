"""The processors this kind of device stands for, and what their tools are called."""

import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from splitkit.devices.toolchain import install_line
from splitkit.errors import ConfigError, ToolchainError


@dataclass(frozen=True)
class Architecture:
    """One processor architecture under Linux.

    Attributes:
        name: as `uname -m` says it.
        triple: prefix of GCC's tools.
        zig_target: what Zig calls it, with the C library that links statically.
        qemu: QEMU's name for it: the emulator is `qemu-NAME-static` or `qemu-NAME`.
    """

    name: str
    triple: str
    zig_target: str
    qemu: str

    @property
    def native(self) -> bool:
        """Whether this machine runs its programs itself."""
        return platform.system() == "Linux" and platform.machine() == self.name


ARCHITECTURES = {
    a.name: a
    for a in (
        Architecture("aarch64", "aarch64-linux-gnu", "aarch64-linux-musl", "aarch64"),
        Architecture("armv7l", "arm-linux-gnueabihf", "arm-linux-musleabihf", "arm"),
        Architecture("riscv64", "riscv64-linux-gnu", "riscv64-linux-musl", "riscv64"),
        Architecture("x86_64", "x86_64-linux-gnu", "x86_64-linux-musl", "x86_64"),
    )
}

TRIPLES = (
    "aarch64-unknown-linux-gnu",
    "armv7a-unknown-linux-gnueabihf",
    "riscv64-unknown-linux-gnu",
    "x86_64-unknown-linux-gnu",
)
_ALIASES = {"arm64": "aarch64", "armv7": "armv7l", "armv7a": "armv7l", "amd64": "x86_64"}


def architecture_of(target: Mapping[str, Any], device: str) -> Architecture:
    """The architecture that a target's `mtriple` names.

    All four parts are asked for: LLVM takes the `linux` of `armv7a-linux-gnueabihf` for the vendor, does not see that
    the system is GNU's, and passes floats to library functions in registers where they do not look for them.

    Raises:
        ConfigError: there is none, it is shortened, or it is not one of Linux on a known processor.
    """
    triple = str(target.get("mtriple", ""))
    parts = triple.split("-")
    found = ARCHITECTURES.get(_ALIASES.get(parts[0], parts[0]))
    if found is None or len(parts) != 4 or parts[2] != "linux":
        raise ConfigError(
            f"device {device}: target.mtriple: {triple or 'nothing'} is no Linux triple of four parts",
            f"known: {', '.join(TRIPLES)}",
        )
    return found


@dataclass(frozen=True)
class Compiler:
    """Commands that compile C and C++ for one architecture and link statically."""

    name: str
    c: tuple[str, ...]
    cpp: tuple[str, ...]


def compilers(architecture: Architecture) -> list[Compiler]:
    """What is installed here that compiles for an architecture, preferred first: GCC, then Zig."""
    found = []
    gcc, gpp = (shutil.which(f"{architecture.triple}-{tool}") for tool in ("gcc", "g++"))
    if gcc and gpp:
        found.append(Compiler(f"{architecture.triple}-g++", (gcc,), (gpp,)))
    if find_spec("ziglang") is not None:
        zig = (sys.executable, "-m", "ziglang")
        target = ("-target", architecture.zig_target)
        found.append(Compiler("zig c++", (*zig, "cc", *target), (*zig, "c++", *target)))
    return found


def compiler_for(architecture: Architecture) -> Compiler:
    """The preferred one.

    Raises:
        ToolchainError: none is installed; names the Debian package and the Python package.
    """
    found = compilers(architecture)
    if not found:
        raise ToolchainError(
            f"no C++ compiler for {architecture.name} Linux",
            f"{install_line(f'{architecture.triple}-g++')}, or pip install ziglang",
        )
    return found[0]


def emulator_for(architecture: Architecture, cpu: str | None) -> list[str]:
    """The command before a program's own: empty where this machine runs it itself.

    Raises:
        ToolchainError: QEMU's user-mode emulator is missing; names the Debian package.
    """
    if architecture.native:
        return []
    static = f"qemu-{architecture.qemu}-static"
    for name in (static, f"qemu-{architecture.qemu}"):
        if path := shutil.which(name):
            return [path, *(("-cpu", cpu) if cpu else ())]
    raise ToolchainError(f"{static} is missing: it runs {architecture.name} programs here", install_line(static))
