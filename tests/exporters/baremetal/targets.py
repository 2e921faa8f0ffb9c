"""Targets the generated C is for, and the emulated boards some of them run on."""

from splitkit.exporters import CompileTarget


def _arm(triple: str, cpu: str) -> CompileTarget:
    return CompileTarget({"kind": "llvm", "mtriple": triple, "mcpu": cpu, "mfloat-abi": "hard"})


TARGETS = {
    "cortex-m4": _arm("thumbv7em-none-eabihf", "cortex-m4"),
    "cortex-m7": _arm("thumbv7em-none-eabihf", "cortex-m7"),
    "cortex-m33": _arm("thumbv8m.main-none-eabihf", "cortex-m33"),
    "cortex-m55": _arm("thumbv8.1m.main-none-eabihf", "cortex-m55"),
    "rv32imafc": CompileTarget(
        {
            "kind": "llvm",
            "mtriple": "riscv32-unknown-elf",
            "mcpu": "generic-rv32",
            "mattr": ["+m", "+a", "+f", "+c"],
            "mabi": "ilp32f",
        }
    ),
}

BOARDS = {"cortex-m4": "mps2-an386", "cortex-m7": "mps2-an500", "cortex-m55": "mps3-an547"}
"""Machines of qemu-system-arm with code memory at 0 and data memory at 0x20000000, as in the example linker script."""
