"""A board behind TVM's RPC server, or any of those that its tracker knows under one key."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitkit.addresses import format_address
from splitkit.compiler.target import CompileTarget
from splitkit.devices.options import read_options
from splitkit.devices.protocol import BoardPool, Unit
from splitkit.devices.rpc import tracker
from splitkit.devices.rpc.board import Board
from splitkit.devices.rpc.options import KIND, RpcOptions
from splitkit.devices.rpc.session import RemoteSession
from splitkit.devices.rpc.tracker import Address
from splitkit.devices.timing import Timing
from splitkit.errors import ConfigError, DeviceError
from splitkit.exporters.protocol import Artifact
from splitkit.profiles.schema import DeviceProfile

WARM_UP_RUNS = 10
STEPS_PER_LEASE = 5
"""A session may last so many steps' time limits before the board itself ends it."""


class RpcDevice:
    """Uploads what was compiled and times it by the board's own clock. Holds a board from first use until `close`.

    Raises:
        ConfigError: the profile's options are incomplete.
        DeviceError: the profile asks for several threads.
    """

    unit: Unit = "us"
    real_time = True
    here = False
    cache_bytes = 0
    kernel_model = None

    def __init__(self, profile: DeviceProfile) -> None:
        self.profile = profile
        self.options = read_options(profile, RpcOptions)
        if profile.threads != 1:
            raise DeviceError(f"device {profile.name}: threads: boards run one", "threads = 1")
        if profile.exporter != "tvm":
            raise ConfigError(f"device {profile.name}: exporter: boards run what tvm makes", 'exporter = "tvm"')
        self._board: Board | None = None
        self._loaded: dict[Path, RemoteSession] = {}

    @property
    def emulated(self) -> bool:
        """Whether times are scaled."""
        return self.profile.time_scale != 1.0

    @property
    def pool(self) -> BoardPool:
        """Itself, whether a tracker knows several boards or there is one."""
        return self

    @property
    def agreement(self) -> float:
        """Relative deviation from the other boards beyond which a board's timings are not believed."""
        return self.options.agreement

    def label(self) -> str:
        """`measured` (on the board), or `measured x2 (emulated slower core)`."""
        scale = self.profile.time_scale
        if scale == 1.0:
            return "measured"
        return f"measured x{scale:g} (emulated {'slower' if scale > 1 else 'faster'} core)"

    def fingerprint(self) -> str:
        """The board's processor as the profile states it, else as the board says; asked once per process.

        Raises:
            DeviceError: the profile does not state it and no board answers.
        """
        scale = "" if self.profile.time_scale == 1.0 else f"; x{self.profile.time_scale:g}"
        return f"rpc: {self.options.processor or _asked(self.options)}; threads {self.profile.threads}{scale}"

    def target(self) -> CompileTarget:
        """The profile's target: what the board is, not what this machine is."""
        return CompileTarget(dict(self.profile.target), self.profile.threads)

    def boards(self) -> list[str]:
        """Names of the boards there are.

        Raises:
            DeviceError: the tracker does not answer, or knows none.
        """
        if self.options.host is not None:
            assert self.options.port is not None
            return [format_address(self.options.host, self.options.port)]
        assert self.options.key is not None
        names = tracker.boards(self.options.tracker_address, self.options.key, self.options.timeout_s)
        if not names:
            raise DeviceError(
                f"tracker {self.options.tracker}: no board has the key {self.options.key!r}",
                "python -m tvm.exec.rpc_server --host 127.0.0.1 --tracker HOST:PORT --key KEY starts one",
            )
        return names

    def lease(self, avoid: Collection[str] = ()) -> str:
        """Take a board, unless one is held, and say which. Boards named in `avoid` are passed over.

        Raises:
            DeviceError: none is free, or it does not answer; the message names it.
        """
        if self._board is None:
            address = self._address(avoid)
            self._board = Board(address, self.options.timeout_s, STEPS_PER_LEASE * self.options.timeout_s)
            try:
                self._prepare(self._board)
            except DeviceError:
                self.close()
                raise
        return self._board.name

    def close(self) -> None:
        """Let the board go."""
        self._loaded = {}
        if self._board is not None:
            self._board.close()
            self._board = None

    def time_graph(self, artifact: Artifact, repeats: int = 50) -> Timing:
        """As `Device.time_graph`, after 10 runs of warm-up."""
        with self._failing() as session:
            times_ns = session(artifact).time_ns(WARM_UP_RUNS + repeats)[WARM_UP_RUNS:]
        return Timing(times_ns.astype(np.float64) * (self.profile.time_scale / 1e3))

    def time_kernels(self, artifact: Artifact, repeats: int = 20) -> NDArray[np.float64]:
        """As `Device.time_kernels`, after 10 runs of warm-up."""
        with self._failing() as session:
            times_ns = session(artifact).kernel_times_ns(WARM_UP_RUNS + repeats)[WARM_UP_RUNS:]
        return np.asarray(times_ns * (self.profile.time_scale / 1e3))

    def open(self, artifact: Artifact) -> RemoteSession:
        """A session on the board."""
        self.lease()
        assert self._board is not None
        return RemoteSession(artifact, self._board)

    @contextmanager
    def _failing(self) -> Iterator[Any]:
        """A function that makes sessions, one per artifact; a board that fails is let go."""

        def session(artifact: Artifact) -> RemoteSession:
            if artifact.path not in self._loaded:
                self._loaded[artifact.path] = self.open(artifact)
            return self._loaded[artifact.path]

        try:
            yield session
        except DeviceError:
            self.close()
            raise

    def _address(self, avoid: Collection[str]) -> Address:
        options = self.options
        if options.host is not None:
            assert options.port is not None
            return Address(options.host, options.port, options.key or "")
        assert options.key is not None
        for _ in range(len(avoid) + 1):
            address = tracker.request(options.tracker_address, options.key, options.timeout_s)
            if address.name not in avoid:
                return address
        raise DeviceError(f"tracker {options.tracker}: no board with key {options.key!r} is left")

    def _prepare(self, board: Board) -> None:
        """Check that the board is what the profile says."""
        found = board.call("asking for its processor", lambda: describe(board.remote))
        if self.options.processor not in (None, found):
            raise DeviceError(
                f"board {board.name}: its processor is {found}, options.processor of device "
                f"{self.profile.name} is {self.options.processor}"
            )


def describe(remote: Any) -> str:
    """A board's processor as LLVM on it names it: model and triple."""
    processor = remote.get_function("target.llvm_get_system_cpu")()
    triple = remote.get_function("target.llvm_get_system_triple")()
    return f"{processor} {triple}"


@cache
def _asked(options: RpcOptions) -> str:
    """What the board's processor is, asked once per process."""
    profile = DeviceProfile(name="board", kind=KIND, options=options.model_dump(exclude_none=True))
    device = RpcDevice(profile)
    try:
        device.lease()
        assert device._board is not None
        board = device._board
        return board.call("asking for its processor", lambda: describe(board.remote))
    finally:
        device.close()
