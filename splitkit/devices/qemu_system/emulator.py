"""One QEMU process with a firmware in it: bytes in, bytes out, and one clear line when it goes wrong."""

import os
import select
import subprocess
import tempfile
import time
import weakref
from contextlib import suppress
from pathlib import Path

from splitkit.devices.qemu_system.board import Board
from splitkit.devices.qemu_system.build import Firmware
from splitkit.devices.toolchain import find_program
from splitkit.errors import DeviceError
from splitkit.processes import ending, tied

CHUNK = 1 << 16


class Emulator:
    """Starts the firmware; ends with the object. `device` is what errors call it.

    Raises:
        ToolchainError: QEMU is not installed.
    """

    def __init__(self, firmware: Firmware, board: Board, device: str) -> None:
        self._firmware, self._board, self._device = firmware, board, device
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        command = [find_program(board.emulator), "-M", board.machine, "-cpu", board.cpu, "-kernel", str(firmware.elf)]
        command += ["-bios", "none", "-display", "none", "-serial", "none", "-monitor", "none", "-nic", "none"]
        command += ["-semihosting-config", "enable=on,target=native", "-icount", f"shift={board.shift},sleep=off"]
        self._process = subprocess.Popen(
            tied(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, bufsize=0
        )
        self._finish = weakref.finalize(self, _end, self._process)

    def ask(self, sent: bytes, expected: int) -> bytes:
        """Send a command and receive so many bytes of answer.

        Raises:
            DeviceError: the firmware faulted, QEMU refused the board, or nothing came in time.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # why it is gone is found out below
            self._process.stdin.write(sent)
        answer = bytearray()
        deadline = time.monotonic() + self._board.timeout_s
        source = self._process.stdout.fileno()
        while len(answer) < expected:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([source], [], [], left)[0]:
                self.close()
                raise DeviceError(
                    f"device {self._device}: the firmware gave no answer within {self._board.timeout_s:g} s",
                    "it hangs, or options.timeout_s is too short",
                )
            some = os.read(source, min(CHUNK, expected - len(answer)))
            if not some:
                raise self._failure()
            answer += some
        return bytes(answer)

    def close(self) -> None:
        """End the process."""
        self._finish()

    def _failure(self) -> DeviceError:
        """Why there is no answer."""
        code = self._process.wait()
        self._errors.seek(0)
        lines = [line for line in self._errors.read().decode(errors="replace").splitlines() if "warning:" not in line]
        said = lines[0].strip() if lines else f"it {ending(code)}"
        if said.startswith("fault:"):
            where = _function_at(self._firmware.elf, said)
            return DeviceError(f"device {self._device}: the firmware faulted{where}: {said.removeprefix('fault: ')}")
        if "machine type" in said or "CPU" in said.upper():
            return DeviceError(
                f"device {self._device}: options.machine, options.cpu: {said}", "QEMU does not have that board"
            )
        return DeviceError(f"device {self._device}: the firmware did not run to its end: {said}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """The firmware ends when its input does; what does not end is killed."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()
    try:
        process.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _function_at(elf: Path, said: str) -> str:
    """` in NAME`, of the function that the reported program counter is in; nothing if it is in none."""
    from elftools.elf.elffile import ELFFile

    try:
        counter = int(said.rsplit("0x", 1)[1], 16) & ~1
    except (IndexError, ValueError):
        return ""
    with elf.open("rb") as stream:
        symbols = ELFFile(stream).get_section_by_name(".symtab")
        for symbol in symbols.iter_symbols():
            start = symbol["st_value"] & ~1
            if symbol["st_info"]["type"] == "STT_FUNC" and start <= counter < start + symbol["st_size"]:
                return f" in {symbol.name}"
    return ""
