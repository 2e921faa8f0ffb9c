"""Compilers and emulators for other machines: where they are, and what to install where they are not."""

import shutil
import subprocess
from functools import cache

from splitkit.errors import ToolchainError

RISCV_FLOAT16 = "riscv_float16.c"
"""Beside this file: what every link of generated kernels for RISC-V needs before them; empty for other cores."""

DEBIAN_PACKAGES = {
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
    "qemu-system-arm": "qemu-system-arm",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-system-riscv32": "qemu-system-misc",
    "qemu-aarch64-static": "qemu-user-static",
    "qemu-arm-static": "qemu-user-static",
    "qemu-riscv64-static": "qemu-user-static",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu",
    "arm-linux-gnueabihf-g++": "g++-arm-linux-gnueabihf",
    "riscv64-linux-gnu-g++": "g++-riscv64-linux-gnu",
}
"""What installs a program, on Debian and Ubuntu."""


def install_line(program: str) -> str:
    """The command that installs a program."""
    return f"apt-get install {DEBIAN_PACKAGES.get(program, program)}"


def missing_packages() -> list[str]:
    """Packages that install every program that is not here, sorted."""
    missing = [packages for program, packages in DEBIAN_PACKAGES.items() if shutil.which(program) is None]
    return sorted({package for packages in missing for package in packages.split()})


def find_program(program: str) -> str:
    """The program's path.

    Raises:
        ToolchainError: it is not installed; the hint is the command that installs it.
    """
    found = shutil.which(program)
    if found is None:
        raise ToolchainError(f"{program} is not installed", install_line(program))
    return found


@cache
def program_version(path: str) -> str:
    """The first line a program says about its version."""
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or ["unknown version"])[0]
