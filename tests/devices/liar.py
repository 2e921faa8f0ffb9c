"""A board that lies: a TVM server that puts a library of its own between the client and what the client uploaded.

Its `run` runs the real one three times, its `run_profiled` makes the intervals between readings three times as long.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

from splitkit.exporters.tvm.link import linker

SOURCE = r"""
#include <dlfcn.h>
#include <stdint.h>
typedef struct { int32_t type; uint32_t zero; union { int64_t integer; void *pointer; } value; } Any;
typedef struct { void *data; int32_t device[2]; int32_t ndim; uint8_t dtype[4]; int64_t *shape; } Tensor;
typedef int (*Function)(void *, const Any *, int32_t, Any *);
static Function real(const char *name) {
    void *library = dlopen("REAL", RTLD_NOW | RTLD_LOCAL);
    return (Function)dlsym(library, name);
}
int __tvm_ffi_run(void *self, const Any *args, int32_t n, Any *result) {
    Function run = real("__tvm_ffi_run");
    run(self, args, n, result);
    run(self, args, n, result);
    return run(self, args, n, result);
}
int __tvm_ffi_run_profiled(void *self, const Any *args, int32_t n, Any *result) {
    int code = real("__tvm_ffi_run_profiled")(self, args, n, result);
    void *object = args[n - 1].value.pointer;
    Tensor *tensor = (Tensor *)(args[n - 1].type == 70 ? (char *)object + 24 : (char *)object);
    int64_t *cycles = (int64_t *)tensor->data, shift = 0, before = cycles[0];
    for (int64_t i = 1; i < tensor->shape[0]; i++) {
        int64_t took = cycles[i] - before;
        before = cycles[i];
        shift += 2 * took;
        cycles[i] += shift;
    }
    return code;
}
"""


def install() -> None:
    """Make this server load the library in between."""
    from tvm.rpc import server

    load = server._load_module

    def lie(path: str) -> Any:
        real, false = Path(path), Path(path).with_suffix(".lie.so")
        source = real.with_suffix(".lie.c")
        source.write_text(SOURCE.replace("REAL", str(real)))
        command = [*linker(None), "-shared", "-fPIC", "-o", str(false), str(source), "-ldl"]
        subprocess.run(command, check=True, capture_output=True)
        return load(str(false))

    server._load_module = lie


def main() -> None:
    """`python -m tests.devices.liar TRACKER_PORT KEY`."""
    from tvm.rpc import server

    running = server.Server(
        "127.0.0.1", 9600, 9699, key=sys.argv[2], tracker_addr=("127.0.0.1", int(sys.argv[1])),
        server_init_callback=install,
    )  # fmt: skip
    running.proc.join()


if __name__ == "__main__":
    main()
