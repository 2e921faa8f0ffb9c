"""The generated C compiled by the targets' own compilers: warnings, symbols, sizes, and what it computes on a board."""

import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from numpy.typing import NDArray

from splitkit.exporters import Artifact, CompileTarget
from splitkit.exporters.baremetal import BareMetalExporter
from splitkit.exporters.baremetal.names import C_TYPES
from splitkit.exporters.baremetal.symbols import is_provided
from splitkit.exporters.baremetal.toolchain import WARNINGS, compiler_flags, find_compiler
from splitkit.exporters.memory_report import MemoryReport
from splitkit.exporters.onnxruntime import OnnxRuntimeExporter
from tests.compiler.graphs import GRAPHS, random_inputs
from tests.exporters.baremetal.targets import BOARDS, TARGETS

pytestmark = pytest.mark.toolchain

Needs = Callable[..., None]
FIRMWARE = Path(__file__).parent / "firmware.c"
NETWORKS = ("residual", "aggregator")


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest, needs: Needs) -> CompileTarget:
    name = str(request.param)
    needs("riscv64-unknown-elf-gcc" if name.startswith("rv") else "arm-none-eabi-gcc")
    return TARGETS[name]


def compiled(target: CompileTarget, directory: Path) -> list[Artifact]:
    return [BareMetalExporter().compile(GRAPHS[name](), target, directory / name) for name in NETWORKS]


def sources(artifact: Artifact) -> list[str]:
    return [str(artifact.path / f"{artifact.report['name']}{end}") for end in (".c", "_weights.S", "_kernels.o")]


def cc(target: CompileTarget, *arguments: str) -> None:
    command = [find_compiler(target.spec), *compiler_flags(target.spec), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_c_is_c99_without_a_warning_and_its_header_is_cpp(target: CompileTarget, tmp_path: Path) -> None:
    artifact, _ = compiled(target, tmp_path)
    timed = BareMetalExporter().build_kernels(artifact.kernels, target, tmp_path / "kernels")
    for made in (artifact, timed):
        cc(target, *WARNINGS, "-ffreestanding", "-Wconversion", "-c", sources(made)[0], "-o", str(tmp_path / "c.o"))
    user = tmp_path / "user.cpp"
    user.write_text('#include "residual.h"\nint (*run)(const float *, residual_output_t *) = residual_run;\n')
    flags = ("-x", "c++", "-std=c++98", "-Wall", "-Wextra", "-Werror", "-ffreestanding", f"-I{artifact.path}")
    cc(target, *flags, "-c", str(user), "-o", str(tmp_path / "cpp.o"))


def test_two_networks_link_and_need_nothing_but_a_toolchain(target: CompileTarget, tmp_path: Path) -> None:
    artifacts = compiled(target, tmp_path)
    linked = tmp_path / "both.o"
    includes = [f"-I{artifact.path}" for artifact in artifacts]
    files = [source for artifact in artifacts for source in sources(artifact)]
    cc(target, "-Os", "-ffreestanding", "-nostdlib", "-r", *includes, *files, "-o", str(linked))
    with linked.open("rb") as stream:
        symbols = list(ELFFile(stream).get_section_by_name(".symtab").iter_symbols())
    undefined = {s.name for s in symbols if s["st_shndx"] == "SHN_UNDEF" and s.name}
    assert all(is_provided(name) for name in undefined), undefined
    public = {s.name for s in symbols if s["st_info"]["bind"] == "STB_GLOBAL" and s["st_shndx"] != "SHN_UNDEF"}
    assert all(name.startswith(NETWORKS) for name in public), public


def test_the_report_equals_the_linked_sections(target: CompileTarget, tmp_path: Path) -> None:
    """Linked with nothing else, by the example linker script: whatever is in the file is the network's."""
    for artifact in compiled(target, tmp_path):
        name, report = str(artifact.report["name"]), MemoryReport.load(artifact.path)
        linked, script = tmp_path / f"{name}.elf", artifact.path / f"{name}.ld"
        keep = [f"-Wl,--undefined={name}_{function}" for function in ("init", "run")]
        options = ["-Os", "-ffreestanding", "-nostdlib", f"-I{artifact.path}", "-Wl,--gc-sections", *keep]
        options += ["-Wl,--unresolved-symbols=ignore-all", f"-T{script}"]
        cc(target, *options, *sources(artifact), "-o", str(linked))
        with linked.open("rb") as stream:
            sizes = {s.name: s["sh_size"] for s in ELFFile(stream).iter_sections()}
        assert report.driver is not None
        assert sizes[".text"] + sizes[".rodata"] == pytest.approx(report.flash_bytes, rel=0.01)
        assert sizes[".bss"] == pytest.approx(report.arena_bytes, rel=0.01)
        assert sizes.get(".data", 0) == 0


@pytest.mark.parametrize("cpu", BOARDS)
def test_a_board_computes_what_onnx_runtime_computes_and_takes_the_reported_stack(
    cpu: str, tmp_path: Path, needs: Needs
) -> None:
    needs("arm-none-eabi-gcc", "qemu-system-arm")
    target = TARGETS[cpu]
    first, second = compiled(target, tmp_path)
    printed = run_on_board(cpu, target, (first, second), tmp_path)
    assert printed["status"] == bytes(4)
    for artifact, role in ((first, "first"), (second, "second")):
        model = GRAPHS[str(artifact.report["name"])]()
        reference = OnnxRuntimeExporter()
        session = reference.load(reference.compile(model, CompileTarget(), tmp_path / f"{role}_reference"))
        (expected,) = session.run(random_inputs(model)).values()
        found = np.frombuffer(printed[role], expected.dtype).reshape(expected.shape)
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    report = MemoryReport.load(first.path)
    assert not report.external_calls
    assert report.stack_bytes is not None
    unseen = report.stack_bytes - struct.unpack("<I", printed["depth"])[0]
    assert 0 <= unseen < 8  # the stack is aligned to 8 bytes, and nothing is written to what that skips


def run_on_board(
    cpu: str, target: CompileTarget, artifacts: tuple[Artifact, Artifact], directory: Path
) -> dict[str, bytes]:
    """Build the firmware around two networks, run it, return what it prints."""
    names = [str(artifact.report["name"]) for artifact in artifacts]
    types = [C_TYPES[artifact.inputs[0].dtype] for artifact in artifacts]
    arrays = [
        f"const {type_} {name}_image[] __attribute__((aligned(16))) = {_initialiser(random_inputs(GRAPHS[name]()))};\n"
        for name, type_ in zip(names, types, strict=True)
    ]
    (directory / "inputs.c").write_text("#include <stdint.h>\n" + "".join(arrays))
    defines = [f"-DFIRST={names[0]}", f"-DSECOND={names[1]}"]
    defines += [f"-D{name}_element_t={type_}" for name, type_ in zip(names, types, strict=True)]
    script = (artifacts[0].path / f"{names[0]}.ld").read_text()
    script = re.sub(r"LENGTH = \d+K", "LENGTH = 512K", script)  # there are two networks, and the boards have that
    (directory / "board.ld").write_text(script)
    files = [str(FIRMWARE), str(directory / "inputs.c"), *(s for artifact in artifacts for s in sources(artifact))]
    options = [*defines, *(f"-I{artifact.path}" for artifact in artifacts), "-Os", "-nostartfiles", "-Wl,--gc-sections"]
    elf = directory / "firmware.elf"
    cc(target, *options, f"-T{directory / 'board.ld'}", *files, "-lm", "-o", str(elf))
    command = ["qemu-system-arm", "-M", BOARDS[cpu], "-nographic", "-nic", "none", "-semihosting", "-kernel", str(elf)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    lines = dict(re.findall(r"^(status|depth|first|second) ([0-9a-f]+)$", done.stdout + done.stderr, re.MULTILINE))
    assert set(lines) == {"status", "depth", "first", "second"}, done.stdout + done.stderr
    return {name: bytes.fromhex(text) for name, text in lines.items()}


def _initialiser(inputs: dict[str, NDArray[Any]]) -> str:
    (array,) = inputs.values()
    return "{0," + ",".join(repr(value) for value in array.reshape(-1).tolist()) + "}"
