"""What this machine has of what splitkit needs, and how to get the rest."""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from splitkit.devices.toolchain import DEBIAN_PACKAGES, install_line, trouble
from splitkit.processes import ending, tied

PROBE_S = 120
TVM_FFI_PIN = "0.1.14.post1"


@dataclass(frozen=True)
class Check:
    """One finding. `required` says whether splitkit can work without it; `hint` says how to mend it."""

    name: str
    ok: bool
    detail: str
    hint: str = ""
    required: bool = True


def diagnose() -> list[Check]:
    """Every check, in the order a reader would want to mend them."""
    own = [_python(), *_packages(), _linker(), _kernel_runs(), _affinity(), _cores(), _writable()]
    return own + other_machines()


def other_machines() -> list[Check]:
    """Cross compilers and emulators: only devices of other architectures need them."""
    return [_other_machine(program) for program in DEBIAN_PACKAGES]


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    return Check("Python", sys.version_info >= (3, 11), found, "splitkit needs Python 3.11 or 3.12")


def _packages() -> list[Check]:
    pins = {"apache-tvm": "0.27.0.post1", "apache-tvm-ffi": TVM_FFI_PIN}
    checks = []
    for package in ("torch", "onnx", "onnxruntime", "onnxsim", "apache-tvm", "apache-tvm-ffi", "pymoo"):
        wanted = pins.get(package)
        try:
            found = version(package)
        except PackageNotFoundError:
            checks.append(Check(package, False, "not installed", f"pip install {package}"))
            continue
        hint = f"pip install {package}=={wanted}: other versions crash or fail to import" if wanted else ""
        checks.append(Check(package, wanted in (None, found), found, hint))
    return checks


def _linker() -> Check:
    hint = "apt-get install gcc, or pip install ziglang"
    if compiler := shutil.which("cc"):
        return Check("linker", True, compiler)
    try:
        return Check("linker", True, f"ziglang {version('ziglang')}")
    except PackageNotFoundError:
        return Check("linker", False, "no cc and no ziglang", hint)


def _kernel_runs() -> Check:
    """Compile, link and run one convolution in a process of its own, which a broken TVM may take down."""
    probe = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from splitkit.exporters import CompileTarget, get_exporter\n"
        "from splitkit.graphs.render import render\n"
        "from splitkit.space.units import Block\n"
        "block = Block(1, 16, 16, 8, 'inverted', 2, 3, 1, False, 'relu')\n"
        "model = render(block.operators(block.input_tensors(), 'probe'))\n"
        "exporter = get_exporter('tvm')\n"
        "session = exporter.load(exporter.compile(model, CompileTarget(), Path(sys.argv[1])))\n"
        "out = session.run({'input': np.ones((1, 16, 8, 8), np.float32)})\n"
        "assert all(np.isfinite(v).all() and np.abs(v).max() > 0 for v in out.values())\n"
    )
    with tempfile.TemporaryDirectory() as scratch:
        command = tied([sys.executable, "-c", probe, scratch])
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_S, check=False)
        except subprocess.TimeoutExpired:
            return Check("compile and run a kernel", False, f"no end within {PROBE_S} s", "is the machine very busy?")
    if done.returncode == 0:
        return Check("compile and run a kernel", True, "works")
    last = (done.stderr.strip().splitlines() or [ending(done.returncode)])[-1]
    return Check("compile and run a kernel", False, last, "mend the checks above first; then report this line")


def _other_machine(program: str) -> Check:
    why = trouble(program)
    return Check(program, why is None, why or shutil.which(program) or "", install_line(program), required=False)


def _affinity() -> Check:
    ok = hasattr(os, "sched_setaffinity")
    hint = "without it measurements wander between cores"
    return Check("pinning to a core", ok, "available" if ok else "not on this system", hint, required=False)


def _cores() -> Check:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    hint = "with one core the sensor's and the aggregator's process share it, and measured totals grow"
    return Check("cores", count >= 2, str(count), hint, required=False)


def _writable() -> Check:
    here = Path.cwd()
    return Check("this directory", os.access(here, os.W_OK), str(here), "runs/ is written here: choose another")
