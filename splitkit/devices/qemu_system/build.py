"""A firmware around a generated network: start-up, the loop that serves the host, and the network twice.

Once as a product runs it, once with a time stamp after every kernel; kernels and constants are shared.
"""

import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from splitkit.devices.qemu_system.board import Board
from splitkit.devices.qemu_system.linker_script import linker_script
from splitkit.devices.toolchain import RISCV_FLOAT16
from splitkit.errors import DeviceError, ToolchainError
from splitkit.exporters.baremetal.names import distinct_identifiers, network_name
from splitkit.exporters.baremetal.toolchain import compiler_flags, find_compiler
from splitkit.exporters.protocol import Artifact

SOURCES = resources.files("splitkit.devices.qemu_system") / "firmware"

_NETWORK = """\
#include "{name}.h"

#include "network.h"

extern __typeof__({name}_init) {name}_init_profiled;
extern __typeof__({name}_run) {name}_run_profiled;

{buffers}
const uint32_t network_input_count = {inputs}, network_output_count = {outputs}, network_kernels = {kernels};

int network_init(void)
{{
    const int status = {name}_init();
    return status ? status : {name}_init_profiled();
}}

int network_run(void)
{{
    return {name}_run({arguments});
}}

int network_run_profiled(void)
{{
    return {name}_run_profiled({arguments});
}}
"""


class Firmware:
    """An ELF file in a directory that is removed when nothing refers to the firmware any more."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="splitkit-"))
        self.elf = self.directory / "firmware.elf"
        weakref.finalize(self, shutil.rmtree, self.directory, ignore_errors=True)


def build_firmware(artifact: Artifact, board: Board) -> Firmware:
    """Compile and link.

    Raises:
        DeviceError: the artifact is not generated C, or is larger than the emulated board's memory.
        ToolchainError: the C compiler is missing or refuses something.
    """
    name = network_name(artifact)
    if name is None:
        raise DeviceError(
            f"{artifact.path}: exporter {artifact.exporter} wrote no C sources",
            'the profile needs exporter = "baremetal"',
        )
    sources = artifact.path.resolve()  # the compiler runs in the firmware's directory
    spec = artifact.target.spec
    command = [find_compiler(spec), *compiler_flags(spec), "-std=gnu11", "-Os", "-Wall", "-Werror"]
    command += _libraries(command[0])
    firmware = Firmware()
    directory = firmware.directory
    for source in SOURCES.iterdir():
        if source.name.endswith((".c", ".h")):
            (directory / source.name).write_bytes(source.read_bytes())
    (directory / "network.c").write_text(_network(artifact, name))
    (directory / "firmware.ld").write_text(linker_script(board, len(artifact.kernels)))
    command += ["-I", str(directory), "-I", str(sources), *_counter(board)]
    driver = str(artifact.file(f"{name}.c").resolve())
    profiled = [f"-D{name}_run={name}_run_profiled", f"-D{name}_init={name}_init_profiled", "-include", "stamp.h"]
    _run([*command, *profiled, "-c", driver, "-o", "profiled.o"], directory)
    (directory / RISCV_FLOAT16).write_bytes((resources.files("splitkit.devices") / RISCV_FLOAT16).read_bytes())
    start = "start_riscv.c" if "riscv" in str(spec.get("mtriple")) else "start_arm.c"
    parts = [
        start,
        RISCV_FLOAT16,
        "semihosting.c",
        "main.c",
        "network.c",
        driver,
        "profiled.o",
        str(artifact.file(f"{name}_kernels.o").resolve()),
    ]
    if artifact.memory.weight_bytes:
        parts.append(str(artifact.file(f"{name}_weights.S").resolve()))
    link = ["-nostartfiles", "-Wl,--gc-sections,--no-warn-rwx-segments", "-T", "firmware.ld"]
    _run([*command, *link, *parts, "-lm", "-o", firmware.elf.name], directory)
    return firmware


def _libraries(compiler: str) -> list[str]:
    """The C library: newlib is the Arm compiler's own, Debian's RISC-V compiler has to be told of picolibc."""
    return ["--specs=picolibc.specs"] if "riscv" in Path(compiler).name else []


def _counter(board: Board) -> list[str]:
    macro = f"TICKS_{board.counter.kind.upper().replace('-', '_')}"
    return [f"-D{macro}" if board.counter.address is None else f"-D{macro}={board.counter.address:#x}u"]


def _network(artifact: Artifact, name: str) -> str:
    """The C file that joins the firmware to the network."""
    inputs = [f"input_{i}" for i in range(len(artifact.inputs))]
    lines = [f"static uint64_t {n}[{-(-t.bytes // 8)}];" for n, t in zip(inputs, artifact.inputs, strict=True)]
    if artifact.outputs:
        lines.append(f"static {name}_output_t output;")
    fields = [f"output.{field}" for field in distinct_identifiers([t.name for t in artifact.outputs])]
    for side, buffers, tensors in (("input", inputs, artifact.inputs), ("output", fields, artifact.outputs)):
        entries = [f"{{{b}, {t.bytes}}}" for b, t in zip(buffers, tensors, strict=True)]
        lines.append(f"const network_buffer network_{side}s[] = {{{', '.join(entries) or '{0, 0}'}}};")
    arguments = [f"(const void *){n}" for n in inputs] + (["&output"] if artifact.outputs else [])
    return _NETWORK.format(
        name=name,
        buffers="\n".join(lines),
        inputs=len(artifact.inputs),
        outputs=len(artifact.outputs),
        kernels=len(artifact.kernels),
        arguments=", ".join(arguments),
    )


def _run(command: Sequence[str], directory: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory)
    if done.returncode == 0:
        return
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no message"]
    overflow = next((line for line in lines if "overflowed by" in line or "will not fit in region" in line), None)
    if overflow is not None:
        reason = overflow.split(": ", 1)[-1]
        raise DeviceError(
            f"the firmware is too large for the emulated board: {reason}", "see options.code and options.data"
        )
    reason = next((line for line in lines if "error" in line), lines[-1])
    raise ToolchainError(f"{Path(command[0]).name} cannot build the firmware: {reason}")
