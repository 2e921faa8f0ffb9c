"""Writing the files of a network into a directory."""

from pathlib import Path

from splitkit.compiler.machine import Machine
from splitkit.compiler.module import build_plain_module, generate
from splitkit.compiler.stages import Stages
from splitkit.compiler.target import CompileTarget
from splitkit.exporters.baremetal.accounting import memory_report
from splitkit.exporters.baremetal.driver import driver
from splitkit.exporters.baremetal.header import header
from splitkit.exporters.baremetal.network import Network
from splitkit.exporters.baremetal.objects import read_object
from splitkit.exporters.baremetal.project import cmake_lists, linker_script
from splitkit.exporters.baremetal.symbols import check_symbols
from splitkit.exporters.baremetal.toolchain import compiler_flags, measure_driver
from splitkit.exporters.baremetal.weights import assembly, checksum
from splitkit.exporters.free_space import require_free_space
from splitkit.exporters.memory_report import MemoryReport


def write_network(
    network: Network, machine: Machine, target: CompileTarget, directory: Path, stages: Stages
) -> MemoryReport:
    """Everything but `artifact.json`.

    Raises:
        ModelError: a kernel needs something that a device without an operating system does not have.
    """
    name, weights = network.name, network.build.weights
    with stages("lower"):
        symbols = [network.symbol(i) for i in range(len(network.build.kernels))]
        module = build_plain_module(network.build.kernels, symbols, machine)
    compiled_file = directory / f"{name}_kernels.o"
    with stages("codegen"):
        require_free_space(compiled_file.parent)
        generate(module, machine).write_to_file(str(compiled_file), "o")
    compiled = read_object(compiled_file)
    check_symbols(network, compiled)
    with stages("write"):
        (directory / f"{name}.h").write_text(header(network))
        (directory / f"{name}.c").write_text(driver(network, checksum(weights)))
        (directory / f"{name}_weights.S").write_text(assembly(network))
        weights.tofile(directory / f"{name}_weights.bin")
        memory = memory_report(network, compiled, measure_driver(target.spec, directory / f"{name}.c", name))
        memory.save(directory)
        (directory / "CMakeLists.txt").write_text(cmake_lists(network, compiler_flags(target.spec)))
        (directory / f"{name}.ld").write_text(linker_script(network, memory.flash_bytes, memory.ram_bytes))
    return memory
