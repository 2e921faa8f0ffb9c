"""What an object file holds: sizes of its sections, stack frames of its functions, and whom they call.

Stack frames come from the call frame information (DWARF 5, section 6.4): the canonical frame address is the stack
pointer at the call, so its largest offset from the stack pointer is what the function takes (but for the 128
bytes below it that x86 lets a function use besides).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_EXECUTED, _LOADED, _WRITTEN = 0x4, 0x2, 0x1  # SHF_EXECINSTR, SHF_ALLOC, SHF_WRITE
_STACK_POINTER = {"EM_ARM": 13, "EM_AARCH64": 31, "EM_RISCV": 2, "EM_X86_64": 7, "EM_386": 4}
_DEF_CFA, _DEF_CFA_REGISTER, _DEF_CFA_OFFSET = 0x0C, 0x0D, 0x0E
_OTHER_DEF_CFA = (0x0F, 0x12, 0x13)  # by an expression, or with signed factored offsets
"""Call frame instructions (DWARF 5, section 7.24)."""
_RETURN_ADDRESS = {"EM_X86_64": 8, "EM_386": 4}
"""What the call itself pushed; it is part of the caller's use of the stack, as the frame information counts it."""


@dataclass(frozen=True)
class Function:
    """A function: size of its code and of its stack frame (None where the frame is not of fixed size), its callees."""

    code_bytes: int
    frame_bytes: int | None
    calls: frozenset[str]


@dataclass(frozen=True)
class ObjectFile:
    """What a relocatable object puts into flash, in bytes; variables are not counted.

    `code_bytes` leaves out sections that no strong function needs: helpers that TVM adds to every object, and that
    `--gc-sections` drops. `unwind_bytes` are tables that only exceptions need; a linker script may drop them too.
    """

    code_bytes: int
    constant_bytes: int
    unwind_bytes: int
    functions: dict[str, Function]
    undefined: frozenset[str]

    def stack_bytes(self, function: str, callers: tuple[str, ...] = ()) -> int | None:
        """Largest stack depth from the call of `function` on, as far as this object's own functions go.

        None where a frame is not of fixed size, or a function comes to call itself.
        """
        found = self.functions[function]
        if found.frame_bytes is None or function in callers:
            return None
        path = (*callers, function)
        below = [self.stack_bytes(name, path) for name in found.calls if name in self.functions]
        known = [size for size in below if size is not None]
        return None if len(known) < len(below) else found.frame_bytes + max(known, default=0)

    def external_calls(self, function: str) -> frozenset[str]:
        """Functions outside this object that `function` calls, through others of this object or not."""
        seen, waiting, found = {function}, [function], set[str]()
        while waiting:
            for name in self.functions[waiting.pop()].calls - seen:
                seen.add(name)
                if name in self.functions:
                    waiting.append(name)
                else:
                    found.add(name)
        return frozenset(found)


def read_object(path: Path) -> ObjectFile:
    """Read an ELF object file."""
    from elftools.elf.elffile import ELFFile

    with path.open("rb") as stream:
        elf = ELFFile(stream)
        places = _function_places(elf)
        frames, calls = _frames(elf, places), _calls(elf, places)
        needed = _needed_sections(elf, places, calls)
        sizes = {"code": 0, "constant": 0, "unwind": 0}
        for index, section in enumerate(elf.iter_sections()):
            flags = section["sh_flags"]
            if flags & _LOADED and not flags & _WRITTEN and (index in needed or not flags & _EXECUTED):
                sizes[_kind(section.name, flags)] += section["sh_size"]
        symbols = elf.get_section_by_name(".symtab")
        undefined = {s.name for s in symbols.iter_symbols() if s["st_shndx"] == "SHN_UNDEF" and s.name}
        functions = {
            name: Function(stop - start, frames.get(name), frozenset(calls.get(name, ())))
            for name, (_, start, stop) in places.items()
        }
    return ObjectFile(sizes["code"], sizes["constant"], sizes["unwind"], functions, frozenset(undefined))


def _kind(name: str, flags: int) -> str:
    if flags & _EXECUTED:
        return "code"
    return "unwind" if name.startswith((".ARM.ex", ".eh_frame")) else "constant"


def _needed_sections(elf: Any, places: dict[str, tuple[int, int, int]], calls: dict[str, set[str]]) -> set[int]:
    """Sections of the strong functions and of what they call."""
    symbols = elf.get_section_by_name(".symtab").iter_symbols()
    names = [s.name for s in symbols if s["st_info"]["bind"] == "STB_GLOBAL" and s.name in places]
    seen: set[str] = set()
    while names:
        name = names.pop()
        if name not in seen:
            seen.add(name)
            names += [called for called in calls.get(name, ()) if called in places]
    return {places[name][0] for name in seen}


def _function_places(elf: Any) -> dict[str, tuple[int, int, int]]:
    """Section number, start and end of every function."""
    thumb = elf["e_machine"] == "EM_ARM"
    found = {}
    for symbol in elf.get_section_by_name(".symtab").iter_symbols():
        if symbol["st_info"]["type"] == "STT_FUNC" and isinstance(symbol["st_shndx"], int):
            start = symbol["st_value"] & ~1 if thumb else symbol["st_value"]
            found[symbol.name] = (symbol["st_shndx"], start, start + symbol["st_size"])
    return found


def _relocations(elf: Any, section_index: int) -> Iterator[tuple[int, Any, int]]:
    """Offset, symbol and addend (0 where it is in the section's own bytes) of a section's relocations."""
    from elftools.elf.relocation import RelocationSection

    for section in elf.iter_sections():
        if isinstance(section, RelocationSection) and section["sh_info"] == section_index:
            symbols = elf.get_section(section["sh_link"])
            for relocation in section.iter_relocations():
                addend = relocation["r_addend"] if relocation.is_RELA() else 0
                yield relocation["r_offset"], symbols.get_symbol(relocation["r_info_sym"]), addend


def _calls(elf: Any, places: dict[str, tuple[int, int, int]]) -> dict[str, set[str]]:
    """Functions and undefined symbols that the code of each function refers to."""
    found: dict[str, set[str]] = {}
    for index in {section for section, _, _ in places.values()}:
        for offset, symbol, _ in _relocations(elf, index):
            if symbol.name in places or symbol["st_shndx"] == "SHN_UNDEF":
                caller = _function_at(places, index, offset)
                if caller and symbol.name:
                    found.setdefault(caller, set()).add(symbol.name)
    return found


def _function_at(places: dict[str, tuple[int, int, int]], section: int, offset: int) -> str | None:
    return next((n for n, (s, start, stop) in places.items() if s == section and start <= offset < stop), None)


def _frames(elf: Any, places: dict[str, tuple[int, int, int]]) -> dict[str, int | None]:
    """Frame size by function. Read without relocating: only where a frame's function begins needs the relocation."""
    from elftools.dwarf.callframe import FDE

    index = elf.get_section_index(".debug_frame")
    if index is None:
        return {}
    targets = {offset: (symbol, addend) for offset, symbol, addend in _relocations(elf, index)}
    machine = elf["e_machine"]
    found: dict[str, int | None] = {}
    for entry in elf.get_dwarf_info(relocate_dwarf_sections=False).CFI_entries():
        if not isinstance(entry, FDE):
            continue
        word = 4 if entry.structs.dwarf_format == 32 else 8
        field = entry.offset + (4 if word == 4 else 12) + word  # after the length and the pointer to the common part
        if field not in targets:
            continue
        symbol, addend = targets[field]
        at = symbol["st_value"] + addend + entry.header["initial_location"]
        name = _function_at(places, symbol["st_shndx"], at & ~1 if machine == "EM_ARM" else at)
        if name is not None:
            found[name] = _frame_bytes(entry, _STACK_POINTER.get(machine, -1), _RETURN_ADDRESS.get(machine, 0))
    return found


def _frame_bytes(entry: Any, stack_pointer: int, pushed: int) -> int | None:
    """Largest offset of the frame address from the stack pointer; None if it is counted from another register."""
    largest = 0
    for instruction in (*entry.cie.instructions, *entry.instructions):
        arguments = instruction.args
        if instruction.opcode == _DEF_CFA_OFFSET:
            largest = max(largest, arguments[0])
        elif instruction.opcode in (_DEF_CFA, _DEF_CFA_REGISTER):
            if arguments[0] != stack_pointer:
                return None
            largest = max(largest, *arguments[1:], 0)
        elif instruction.opcode in _OTHER_DEF_CFA:
            return None
    return max(largest, pushed)
