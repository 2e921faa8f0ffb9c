"""The C compiler of a target: which one it is, and the flags under which it agrees with the generated object."""

import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from splitkit.errors import ToolchainError
from splitkit.exporters.baremetal.objects import read_object
from splitkit.exporters.memory_report import DriverMemory

WARNINGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror")


_COMPILERS = (
    (r"(thumb|arm)\S*-none-eabi", "arm-none-eabi-gcc", "gcc-arm-none-eabi libnewlib-arm-none-eabi"),
    (
        r"riscv(32|64)\S*-(unknown|none)-(elf|none)",
        "riscv64-unknown-elf-gcc",
        "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
    ),
    (r"(aarch64|arm64)\S*-linux", "aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
    (r"(arm|thumb)\S*-linux\S*eabihf", "arm-linux-gnueabihf-gcc", "gcc-arm-linux-gnueabihf"),
    (r"riscv64\S*-linux", "riscv64-linux-gnu-gcc", "gcc-riscv64-linux-gnu"),
)
"""By the target's triple: the command, and the Debian packages it comes in."""


def find_compiler(spec: Mapping[str, Any]) -> str:
    """Path of the C compiler for a TVM target dict.

    Raises:
        ToolchainError: none is known for the target, or it is not installed; the hint installs it.
    """
    triple = str(spec.get("mtriple", ""))
    name, packages = "cc", "gcc"
    if spec.get("kind") != "host" and not triple.startswith(f"{platform.machine()}-"):
        found = next(((name, packages) for pattern, name, packages in _COMPILERS if re.match(pattern, triple)), None)
        if found is None:
            raise ToolchainError(f"no C compiler is known for the target {triple or 'without mtriple'}")
        name, packages = found
    path = shutil.which(name)
    if path is None:
        raise ToolchainError(f"{name} is not installed", f"apt-get install {packages}")
    return path


def compiler_flags(spec: Mapping[str, Any]) -> list[str]:
    """The target's flags as GNU compilers spell them: processor, instruction set and calling convention."""
    triple, cpu = str(spec.get("mtriple", "")), str(spec.get("mcpu", ""))
    arch = triple.split("-")[0]
    if arch.startswith(("thumb", "arm")):
        flags = [f"-mcpu={cpu}"] if cpu else []
        flags += ["-mthumb"] if arch.startswith("thumb") else []
        return [*flags, f"-mfloat-abi={spec.get('mfloat-abi', 'hard' if triple.endswith('hf') else 'soft')}"]
    if arch.startswith("aarch64") and cpu:
        return [f"-mcpu={cpu}"]
    if arch.startswith("riscv"):
        return [f"-march={_riscv_isa(arch, spec)}", f"-mabi={spec.get('mabi', 'ilp32' if '32' in arch else 'lp64')}"]
    return []


def _riscv_isa(arch: str, spec: Mapping[str, Any]) -> str:
    """`rv32imafc` of the attributes `+m`, `+a`, ... in the order the specification wants."""
    given = {str(attribute).lstrip("+") for attribute in spec.get("mattr", ())}
    return f"rv{arch[5:7]}i" + "".join(letter for letter in "mafdc" if letter in given)


_MEASURED = ("-Os", "-ffreestanding", "-g", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables")
"""For size, without a C library, frame information where `read_object` looks for it and where it takes no flash."""


def measure_driver(spec: Mapping[str, Any], source: Path, name: str) -> DriverMemory | None:
    """Code size and stack frame of a generated C file, compiled for size; None where there is no compiler.

    Raises:
        ToolchainError: the compiler refuses the file.
    """
    try:
        compiler = find_compiler(spec)
    except ToolchainError:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "driver.o"
        command = [compiler, *compiler_flags(spec), *WARNINGS, *_MEASURED, "-c", str(source), "-o", str(result)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no message"]
            reason = next((line for line in lines if "error:" in line), lines[0])
            raise ToolchainError(f"{source.name}: {compiler} refuses it: {reason}")
        compiled = read_object(result)
    functions = compiled.functions
    return DriverMemory(
        f"{Path(compiler).name} {_version(compiler)} -Os",
        compiled.code_bytes + compiled.constant_bytes,
        functions[f"{name}_run"].frame_bytes,
    )


@cache
def _version(compiler: str) -> str:
    done = subprocess.run([compiler, "-dumpfullversion", "-dumpversion"], capture_output=True, text=True, check=False)
    return done.stdout.strip()
