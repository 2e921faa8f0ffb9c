"""Compilers and emulators for other machines: where they are, whether they work, what to install where they do not."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from splitkit.errors import ToolchainError, reason

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


_C, _CPP = (
    b"#include <stdint.h>\n#include <string.h>\nint main(void) { return 0; }\n",
    b"#include <vector>\nint main() {}\n",
)
_COMPILE = ["-o", "/dev/null", "-x"]
_TRIALS: tuple[tuple[str, list[str], bytes], ...] = (
    (r"arm-none-eabi-gcc", ["-mcpu=cortex-m4", "-mthumb", "-c", *_COMPILE, "c", "-"], _C),
    (r"riscv64-unknown-elf-gcc", ["--specs=picolibc.specs", "-c", *_COMPILE, "c", "-"], _C),
    (r".*-linux-gnu.*-gcc", ["-static", *_COMPILE, "c", "-"], _C),
    (r".*-linux-gnu.*-g\+\+", ["-static", *_COMPILE, "c++", "-"], _CPP),
    (r"qemu-system-arm", ["-M", "mps2-an500", "-cpu", "cortex-m7"], b"quit\n"),
    (r"qemu-system-riscv.*", ["-M", "virt", "-bios", "none"], b"quit\n"),
    (r"qemu-system-.*", ["-M", "virt"], b"quit\n"),
    (r"qemu-.*", ["--version"], b""),
)
"""What a program whose name matches is tried with: arguments and input. A compiler is nothing without its C library."""

_ON_ITS_OWN = ["-S", "-nodefaults", "-nic", "none", "-display", "none", "-monitor", "stdio"]
"""An emulated board that does not start, has no network card (which would want a boot ROM), and obeys its input."""

TRIAL_S = 30.0


def trouble(program: str) -> str | None:
    """Why a program cannot be used, in one line; None if it does what it is tried with."""
    path = shutil.which(program)
    return "not installed" if path is None else _tried(path)


@cache
def _tried(path: str) -> str | None:
    name = Path(path).name
    arguments, given = next(((a, i) for pattern, a, i in _TRIALS if re.fullmatch(pattern, name)), (["--version"], b""))
    more = _ON_ITS_OWN if name.startswith("qemu-system-") else []
    try:
        done = subprocess.run(
            [path, *arguments, *more], input=given, capture_output=True, timeout=TRIAL_S, check=False
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"cannot be run: {reason(error)}"
    if done.returncode == 0:
        return None
    lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line]
    return f"does not work: {[*errors, *lines, f'exit code {done.returncode}'][0]}"


def missing_packages() -> list[str]:
    """Packages that install every program that is not here or does not work, sorted."""
    missing = [packages for program, packages in DEBIAN_PACKAGES.items() if trouble(program) is not None]
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
