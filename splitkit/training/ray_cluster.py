"""A Ray cluster to work on: one of this machine's processors, made for the occasion, or somebody's, visited."""

import logging
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from splitkit.errors import ClusterError, reason
from splitkit.processes import STOP_SIGNALS, Stopped
from splitkit.scratch import scratch_directory

LOCAL = "local"

ANSWER_S = 30.0
"""How long a cluster may take to let a first process in. Ray itself tries for two minutes, then ends the process."""

SHORT = Path("/tmp")
"""Where a local cluster's files go: names of sockets may have 107 bytes, and other temporary directories are longer."""

INSTALL = "pip install 'splitkit[ray]'"

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to Ray's makers
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # workers run what is installed, however this process was started
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # as Ray advises: devices stay as they are, and no warning
}

RAYS = ("RAY_", "PYTHONBREAKPOINT")
"""Beginnings of the names of environment variables that Ray reads and sets."""

_VISIT = """\
import logging, sys, ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.ERROR)
except Exception as error:
    sys.exit(str(error))
"""


@contextmanager
def ray_cluster(address: str, *, workers: int | None = None, answer_s: float = ANSWER_S) -> Iterator[int]:
    """Connect this process to a Ray cluster; yields how many processors the cluster has.

    For `local` one is started, without dashboard and behind a key of its own, and ended with the context. One at an
    address is left as it was found.

    Args:
        address: `local`, `auto` (the cluster this machine belongs to), or HOST:PORT.
        workers: of a local cluster; as many as this process has processors by default.
        answer_s: how long the cluster at an address may take to answer, in seconds.

    Raises:
        ClusterError: Ray is not installed; the cluster does not answer, or runs another version of Ray or Python; this
            process is connected to one already.
    """
    with ExitStack() as stack:
        stack.enter_context(_environment(QUIET | ({"RAY_AUTH_TOKEN": _key()} if address == LOCAL else {})))
        ray = _ray()
        if ray.is_initialized():
            raise ClusterError("this process is connected to a Ray cluster already", "a RayEvaluator needs no other")
        how: dict[str, Any] = {}
        if address == LOCAL:
            files = stack.enter_context(scratch_directory(SHORT, "ray"))
            stack.callback(_end_stragglers, files)
            how = {"num_cpus": workers or len(os.sched_getaffinity(0)), "num_gpus": 0, "include_dashboard": False}
            how |= {"_temp_dir": str(files), "_node_ip_address": "127.0.0.1"}
        else:
            _visit(address, answer_s)
        stack.callback(ray.shutdown)
        try:
            with _signals_kept():
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **how)
            processors = int(ray.cluster_resources().get("CPU", 0))
        except SystemExit as error:  # what Ray makes of SIGTERM while it starts
            raise Stopped(signal.SIGTERM) from error
        except Exception as error:
            raise _unreachable(address, str(error)) from error
        yield processors


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ClusterError(f"Ray cannot be used: {reason(error)}", INSTALL) from error
    return ray


def _end_stragglers(files: Path) -> None:
    """End what of a local cluster Ray has not: stopped while it starts, it leaves some to find out for themselves."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name().startswith(("ray", "gcs_server")) and any(
                Path(file.path).is_relative_to(files) for file in process.open_files()
            ):
                process.kill()


def _visit(address: str, answer_s: float) -> None:
    """See in another process whether the cluster lets one in, since only such a process can be stopped."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _VISIT, address], capture_output=True, text=True, errors="replace", timeout=answer_s
        )
    except subprocess.TimeoutExpired as error:
        raise _unreachable(address, f"no answer within {answer_s:g} s") from error
    if done.returncode != 0:
        raise _unreachable(address, done.stderr)


def _unreachable(address: str, said: str) -> ClusterError:
    line = " ".join(said.split())
    return ClusterError(
        f"Ray cluster {address}: {line[:200] or 'it let nobody in'}",
        f"HOST:PORT of a cluster with this version of Ray and Python, or {LOCAL}; {INSTALL} on each of its machines",
    )


@cache
def _key() -> str:
    """Whoever reaches the ports of a cluster runs code on it: let it be this process only. Ray remembers the first."""
    return secrets.token_hex(32)


@contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith(RAYS)]:  # it sets some itself
            os.environ.pop(name)
        os.environ.update({name: value for name, value in before.items() if name.startswith(RAYS)})


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself and leaves it so; whoever listened before does so again afterwards."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
