"""From a half's generated C and the runner's sources to one static executable."""

import atexit
import shutil
import subprocess
import tempfile
from functools import cache
from importlib import resources
from math import prod
from pathlib import Path

from splitkit.devices.linux_cross.architecture import Compiler
from splitkit.devices.toolchain import RISCV_FLOAT16
from splitkit.errors import ToolchainError
from splitkit.exporters.baremetal.names import distinct_identifiers, network_name
from splitkit.exporters.protocol import Artifact
from splitkit.scratch import replacing

EXECUTABLE = "runner"
"""What the executable is called inside an artifact."""

WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-psabi")
"""The last silences remarks, on Arm, about how GCC 6 passed arguments."""

C_FLAGS = ("-std=c99", "-pedantic", "-O2", *WARNINGS)
CPP_FLAGS = ("-std=c++17", "-pedantic", "-O2", *WARNINGS)
BINDING = "half.cpp"
LOADING_BINDING = "library.cpp"
"""What binds the runner to the half it is built around, and what to halves that it loads (`runtime/native.py`)."""

HOOK = "hook.h"


def build_runner(artifact: Artifact, compiler: Compiler, executable: Path) -> None:
    """Compile what `artifact` holds and the runner, and link both into `executable`, put in place when it is whole.

    Raises:
        ToolchainError: a source does not compile or the link fails.
    """
    name = str(network_name(artifact))
    sources = resources.files("splitkit.devices.linux_cross") / "runner"
    with resources.as_file(sources) as runner, tempfile.TemporaryDirectory(prefix="splitkit-") as scratch:
        work = Path(scratch)
        include = ("-I", str(artifact.path), "-I", str(runner))
        c = (*compiler.c, *C_FLAGS, *include, "-include", str(runner / HOOK))
        assembly = (*compiler.c, *include)
        binding = (*compiler.cpp, *CPP_FLAGS, *include, f"-DHALF={name}", *_macros(artifact, name.upper()))
        objects = [
            artifact.file(f"{name}_kernels.o"),
            _compile(c, artifact.file(f"{name}.c"), work / "driver.o"),
            _compile(assembly, artifact.file(f"{name}_weights.S"), work / "weights.o"),
            _compile(binding, runner / BINDING, work / "half.o"),
            *_runner_objects(compiler, tempfile.gettempdir()),
        ]
        _run([*compiler.cpp, "-static", "-s", "-o", str(work / "linked"), *map(str, objects), "-lm"], executable.name)
        with replacing(executable) as beside:
            shutil.copy(work / "linked", beside)
            beside.chmod(0o755)


def _macros(artifact: Artifact, name: str) -> tuple[str, ...]:
    """What half.cpp has to know of the header: several inputs are told apart there by their names."""
    first, *masks = artifact.inputs
    (identifier,) = distinct_identifiers([first.name])
    source = f"{name}_INPUT_{identifier.upper()}" if masks else f"{name}_INPUT"
    elements = sum(prod(mask.shape) for mask in masks)
    return f"-DHALF_MACRO={name}", f"-DHALF_INPUT={source}", f"-DHALF_MASK={elements}"


@cache
def _runner_objects(compiler: Compiler, temporary: str) -> tuple[Path, ...]:
    """Objects of the runner's sources that know no half, compiled once per command, into `temporary`."""
    folder = Path(tempfile.mkdtemp(prefix="splitkit-runner-", dir=temporary))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with resources.as_file(resources.files("splitkit.devices.linux_cross") / "runner") as runner:
        sources = sorted(path for path in runner.glob("*.cpp") if path.name not in (BINDING, LOADING_BINDING))
        objects = [_compile((*compiler.cpp, *CPP_FLAGS), source, folder / f"{source.stem}.o") for source in sources]
    with resources.as_file(resources.files("splitkit.devices") / RISCV_FLOAT16) as source:
        objects.append(_compile((*compiler.c, *C_FLAGS), source, folder / f"{source.stem}.o"))
    return tuple(objects)


def _compile(command: tuple[str, ...], source: Path, target: Path) -> Path:
    _run([*command, "-c", str(source), "-o", str(target)], source.name)
    return target


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
        first = next((line for line in lines if "error" in line), lines[-1])
        raise ToolchainError(f"{what}: {Path(command[0]).name} failed: {first}")
