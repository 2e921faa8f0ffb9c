"""Generated C compiled by this machine's C compiler and called through ctypes."""

import ctypes
import subprocess
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitkit.exporters.baremetal.toolchain import WARNINGS
from splitkit.exporters.protocol import Artifact


class Native:
    """A shared library of one network. `shift` moves inputs off the alignment that malloc gives."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact, self.name = artifact, str(artifact.report["name"])
        path, library = artifact.path, artifact.path / "native.so"
        sources = [path / f"{self.name}{end}" for end in (".c", "_weights.S", "_kernels.o")]
        command = ["cc", *WARNINGS, "-O2", "-shared", "-fPIC", f"-I{path}", "-o", str(library), *map(str, sources)]
        subprocess.run([*command, "-lm"], check=True, capture_output=True, text=True)
        self.library = ctypes.CDLL(str(library))
        assert self.function("init")() == 0

    def function(self, name: str) -> Any:
        return getattr(self.library, f"{self.name}_{name}")

    def run(self, inputs: dict[str, NDArray[Any]], shift: int = 0) -> dict[str, NDArray[Any]]:
        staged = []
        for tensor in self.artifact.inputs:
            room = np.zeros(tensor.bytes + 64, np.uint8)
            start = -room.ctypes.data % 64 + shift * np.dtype(tensor.dtype).itemsize
            view = room[start : start + tensor.bytes].view(tensor.dtype)
            view[:] = inputs[tensor.name].reshape(-1)
            staged.append((room, start))
        size, element = sum(t.bytes for t in self.artifact.outputs), np.dtype(self.artifact.outputs[0].dtype).itemsize
        out = np.zeros(size + element, np.uint8)[shift * element :]
        pointers = [ctypes.c_void_p(room.ctypes.data + start) for room, start in staged]
        assert self.function("run")(*pointers, ctypes.c_void_p(out.ctypes.data)) == 0
        found, at = {}, 0
        for tensor in self.artifact.outputs:  # equal dtypes: the structure has no padding
            found[tensor.name] = out[at : at + tensor.bytes].view(tensor.dtype).reshape(tensor.shape)
            at += tensor.bytes
        return found
