"""Files to build the network with: a CMake library, and a linker script to start from."""

from splitkit.exporters.baremetal.network import Network

_CMAKE = """\
# {name}: a static library. In a firmware: add_subdirectory(...), then target_link_libraries(firmware PRIVATE {name}).
# Compile for the processor the object was made for: {flags}
cmake_minimum_required(VERSION 3.16)
project({name} LANGUAGES C ASM)
add_library({name} STATIC {name}.c {name}_weights.S ${{CMAKE_CURRENT_SOURCE_DIR}}/{name}_kernels.o)
set_source_files_properties({name}_weights.S PROPERTIES OBJECT_DEPENDS ${{CMAKE_CURRENT_SOURCE_DIR}}/{name}_weights.bin)
set_source_files_properties({name}_kernels.o PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
target_include_directories({name} PUBLIC ${{CMAKE_CURRENT_SOURCE_DIR}})
target_compile_features({name} PUBLIC c_std_99)
"""

_LINKER_SCRIPT = """\
/* An example: code and constants in flash, everything else in RAM. Set the regions to those of your part.
   {name} takes {flash} bytes of flash and {ram} of RAM (arena {arena}), without
   the stack and the rest of the firmware. */
MEMORY
{{
    FLASH (rx) : ORIGIN = 0x00000000, LENGTH = {flash_kib}K
    RAM (rwx) : ORIGIN = 0x20000000, LENGTH = {ram_kib}K
}}

ENTRY(reset)

SECTIONS
{{
    .text :
    {{
        KEEP(*(.vectors))
        *(.text .text.*)
    }} > FLASH
    .rodata :
    {{
        *(.rodata .rodata.*)
        . = ALIGN(8);
    }} > FLASH
    .data :
    {{
        data_start = .;
        *(.data .data.* .sdata .sdata.*)
        . = ALIGN(8);
        data_end = .;
    }} > RAM AT > FLASH
    data_source = LOADADDR(.data);
    .bss (NOLOAD) :
    {{
        bss_start = .;
        *(.bss .bss.* .sbss .sbss.* COMMON)
        . = ALIGN(8);
        bss_end = .;
    }} > RAM
    stack_top = ORIGIN(RAM) + LENGTH(RAM);
    /DISCARD/ : {{ *(.ARM.exidx* .ARM.extab* .eh_frame*) }} /* C has no exceptions */
}}
"""

ROOM_KIB = 32
"""What the example leaves for the rest of the firmware, in either memory."""


def cmake_lists(network: Network, flags: list[str]) -> str:
    """Text of `CMakeLists.txt`."""
    return _CMAKE.format(name=network.name, flags=" ".join(flags) or "this machine")


def linker_script(network: Network, flash_bytes: int, ram_bytes: int) -> str:
    """Text of `NAME.ld`: both regions hold the network and a small firmware, in powers of two."""
    return _LINKER_SCRIPT.format(
        name=network.name,
        flash=flash_bytes,
        ram=ram_bytes,
        arena=network.arena_bytes,
        flash_kib=_kib(flash_bytes),
        ram_kib=_kib(ram_bytes),
    )


def _kib(size: int) -> int:
    return 1 << (size // 1024 + ROOM_KIB - 1).bit_length()
