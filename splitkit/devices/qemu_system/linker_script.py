"""Where the parts of a firmware go on an emulated board."""

from splitkit.devices.qemu_system.board import VECTORS_BYTES, Board, Region

_SCRIPT = """\
MEMORY {{
    VECTORS (rx) : ORIGIN = {vectors.origin:#x}, LENGTH = {vectors.bytes}
    CODE (rx) : ORIGIN = {code.origin:#x}, LENGTH = {code.bytes}
    DATA (rwx) : ORIGIN = {data.origin:#x}, LENGTH = {data.bytes}
}}
SECTIONS {{
    .vectors : {{ KEEP(*(.vectors)) }} > VECTORS
    .text : {{ *(.text .text.*) }} > CODE
    .rodata : {{ *(.rodata .rodata.*) . = ALIGN(16); }} > CODE
    .ARM.exidx : {{ *(.ARM.exidx* .ARM.extab*) . = ALIGN(16); }} > CODE
    .stack (NOLOAD) : {{ image_stack_bottom = .; . += {stack_bytes}; . = ALIGN(16); image_stack_top = .; }} > DATA
    .data : {{
        image_data_start = .;
        *(.data .data.* .sdata .sdata.* .got .got.*)
        . = ALIGN(16);
        image_data_end = .;
    }} > DATA AT > CODE
    image_data_load = LOADADDR(.data);
    .bss (NOLOAD) : {{
        image_bss_start = .;
        *(.bss .bss.* .sbss .sbss.* COMMON)
        . = ALIGN(16);
        image_bss_end = .;
    }} > DATA
    .stamps (NOLOAD) : {{ image_stamps = .; . += {stamp_bytes}; }} > DATA
}}
"""


def linker_script(board: Board, kernels: int) -> str:
    """GNU linker script; `kernels` is how many time stamps there must be room for, less one."""
    code, vectors = board.code, board.vectors
    if vectors is None:
        vectors = Region(origin=code.origin, bytes=VECTORS_BYTES)
        code = Region(origin=code.origin + VECTORS_BYTES, bytes=code.bytes - VECTORS_BYTES)
    return _SCRIPT.format(
        vectors=vectors, code=code, data=board.data, stack_bytes=board.stack_bytes, stamp_bytes=4 * (kernels + 2)
    )
