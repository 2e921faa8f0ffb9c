"""Networks on their way: chosen, compiled in processes of their own, measured on whichever board is free.

This machine is a pool of one board. A measurement that fails is tried again, elsewhere if there is another board; a
board that fails twice in a row is left out, as is one that whoever takes the results does not believe.
"""

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from splitkit.bench.jobs import Bench, Compiled, CompileJob, Compiler, Leased, Measured, MeasureJob, Ranked, RankJob
from splitkit.bench.worker import Done, Failed, Lost, Message, Said, Worker, overdue, wait_for
from splitkit.compiler.target import CompileTarget
from splitkit.devices import BoardPool, Device, UnscaledDevice
from splitkit.devices.pinning import pinned, usable_cpus
from splitkit.errors import DeviceError, SplitkitError

COMPILE_TIMEOUT_S = 900.0
MEASURE_TIMEOUT_S = 900.0
"""For one network. Boards of a pool have limits of their own on every step."""

FAILURES_PER_BOARD = 2
TRIES_PER_NETWORK = 4
LOSSES_IN_A_ROW = 4
"""So many processes may die one after the other with nothing measured between; then measuring ends."""

POOL_INTERVAL_S = 5.0
"""How often a pool is asked which boards it has."""

LONG = float("inf")


class JobSource(Protocol):
    """Says what to do next and takes what comes out of it."""

    def next_job(self) -> CompileJob | RankJob | None:
        """The next job; None if there is none for now."""
        ...

    def measure_job(self, job: CompileJob, compiled: Compiled) -> MeasureJob:
        """How to measure what was compiled, as seen now."""
        ...

    def compiled(self, job: CompileJob, compiled: Compiled) -> None:
        """A network was compiled."""
        ...

    def ranked(self, ranked: Ranked) -> None:
        """Kernels were estimated."""
        ...

    def measured(self, job: CompileJob, measured: Measured, boards: int) -> dict[str, str]:
        """A network was measured, `boards` being how many there are; returns boards not to be believed, and why."""
        ...

    def given_up(self, job: CompileJob) -> None:
        """A network could not be measured on any board it was tried on."""
        ...

    def lost(self, job: CompileJob) -> None:
        """Compiling or measuring a network killed the process that did it."""
        ...


@dataclass
class _Network:
    """One network under way."""

    job: CompileJob
    compiled: Compiled
    tries: int = 0
    board: str | None = None


@dataclass
class Pipeline:
    """Compilers and boards at work for one device.

    Attributes:
        left_out: boards not used any more, and why.
        trouble: boards that ever failed, and how they did last.
        lost: jobs whose process died, each time it did.
    """

    device: UnscaledDevice
    target: CompileTarget
    source: JobSource
    left_out: dict[str, str] = field(default_factory=dict)
    trouble: dict[str, str] = field(default_factory=dict)
    lost: int = 0

    def __post_init__(self) -> None:
        self._pool = self.device.pool
        self._ready: deque[_Network] = deque()
        self._measuring: dict[Worker, _Network] = {}
        self._failures: dict[str, int] = {}
        self._starved = self._measured = self._lost_in_a_row = 0
        self._pool_asked_at = -LONG
        self._boards_there = 0
        self._benches: list[Worker] = []
        self._cpus = usable_cpus()
        spare = spare_cpus(self.device)
        # Without a processor to spare, compiling would disturb what is measured: then they take turns.
        self._apart = bool(spare) or self._pool is not None
        self._spare = spare or self._cpus
        make = (self.device.profile.exporter, self.target)
        count = len(self._spare) if self._apart else 1
        self._compilers = [Worker(Compiler, make, cpus=self._spare) for _ in range(count)]

    def run(self, until: float = LONG) -> None:
        """Work until the source has no more to do, or the time (`time.monotonic()`) has come.

        What is being measured then is still taken, what is being compiled is not, but for the very first network.

        Raises:
            DeviceError: nothing can be measured: the device fails, or no board is left.
            ModelError, ToolchainError: from the exporter.
        """
        try:
            with pinned(self._spare):
                while True:
                    late = self._measured > 0 and (time.monotonic() >= until or self._lost_in_a_row >= LOSSES_IN_A_ROW)
                    if not late:
                        self._take_in_boards()
                        self._send()
                    if not self._measuring and (late or not self._working):
                        return
                    soon = time.monotonic() + POOL_INTERVAL_S
                    self._receive(LONG if late else min(soon, until) if self._measured else soon)
        finally:
            for worker in (*self._compilers, *self._benches):
                worker.kill()

    @property
    def _working(self) -> bool:
        return bool(self._ready) or any(not worker.idle for worker in (*self._compilers, *self._benches))

    def _take_in_boards(self) -> None:
        """One bench for every board that answers, at least one."""
        if self._benches and (self._pool is None or time.monotonic() < self._pool_asked_at + POOL_INTERVAL_S):
            return
        self._pool_asked_at = time.monotonic()
        boards = self._boards()
        self._boards_there = len(boards)
        wanted = max(len([name for name in boards if not self._failures.get(name)]), 1)
        while len(self._benches) < wanted:
            self._benches.append(Worker(Bench, (self.device.profile,), cpus=self._cpus))

    def _boards(self) -> list[str]:
        """Boards there are and that are not left out.

        Raises:
            DeviceError: there is none, and there was none before.
        """
        if self._pool is None:
            return [self.device.profile.name]
        try:
            names = self._pool.boards()
        except DeviceError:
            if not self._benches:
                raise
            return []  # they may come back; until then leases fail
        boards = [name for name in names if name not in self.left_out]
        if not boards:
            reasons = "; ".join(f"{board}: {why}" for board, why in self.left_out.items())
            raise DeviceError(f"device {self.device.profile.name}: no board is left ({reasons})")
        return boards

    def _send(self) -> None:
        """Give those who have nothing to do a job: compilers work one network ahead of the benches."""
        for compiler in self._compilers:
            ahead = len(self._ready) + sum(not worker.idle for worker in self._compilers)
            free = compiler.idle and (self._apart or not self._measuring)
            if free and ahead <= len(self._benches) and (job := self.source.next_job()):
                compiler.send(job, COMPILE_TIMEOUT_S)
        if self._apart or all(worker.idle for worker in self._compilers):
            for bench in self._benches:
                if bench.idle and self._ready:
                    self._measure(self._ready.popleft(), bench)

    def _measure(self, network: _Network, bench: Worker) -> None:
        avoid = set(self.left_out)
        if network.board is not None and len(self._benches) > 1:
            avoid.add(network.board)  # it has just failed
        network.tries, network.board = network.tries + 1, None
        self._measuring[bench] = network
        job = self.source.measure_job(network.job, network.compiled)
        bench.send(replace(job, avoid=frozenset(avoid)))

    def _receive(self, until: float) -> None:
        workers = [*self._compilers, *self._benches]
        ready = wait_for(workers, until)
        for worker in ready:
            job, message = worker.job, worker.receive()
            if worker in self._compilers:
                self._of_compiler(message, job)
            else:
                self._of_bench(message, worker)
        for worker in overdue(workers):
            if worker not in ready:
                self._out_of_time(worker)

    def _of_compiler(self, message: Message, job: CompileJob | RankJob) -> None:
        if isinstance(message, Lost):
            self._lose(message, job)
            return
        if isinstance(message, Failed):
            raise message.error
        assert isinstance(message, Done)
        if isinstance(message.answer, Ranked):
            self.source.ranked(message.answer)
            return
        assert isinstance(job, CompileJob)
        self.source.compiled(job, message.answer)
        self._ready.append(_Network(job, message.answer))

    def _of_bench(self, message: Message, worker: Worker) -> None:
        network = self._measuring[worker]
        if isinstance(message, Said):
            assert isinstance(message.what, Leased)
            network.board = message.what.board
            worker.deadline = time.monotonic() + MEASURE_TIMEOUT_S
            return
        del self._measuring[worker]
        if isinstance(message, Lost):
            self._lose(message, network.job)
            return
        if isinstance(message, Failed):
            self._failed(network, worker, message.error)
            return
        measured: Measured = message.answer
        if measured.board in self.left_out:  # found out while it was at work
            self._ready.appendleft(network)
            return
        self._failures[measured.board] = self._starved = self._lost_in_a_row = 0
        self._measured += 1
        self.left_out |= self.source.measured(network.job, measured, self._boards_there)

    def _lose(self, why: Lost, job: CompileJob | RankJob) -> None:
        """A process of this machine died over a job. Others may have more luck.

        Raises:
            DeviceError: it was always like that.
        """
        self.lost += 1
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= LOSSES_IN_A_ROW and not self._measured:
            raise DeviceError(f"device {self.device.profile.name}: {self.lost} jobs were lost, and none done: {why}")
        if isinstance(job, CompileJob):
            self.source.lost(job)

    def _failed(self, network: _Network, worker: Worker, error: Exception) -> None:
        """A network was not measured: the board's fault, or nobody had a board for it."""
        if self._pool is None:
            if isinstance(error, SplitkitError) or network.tries > 1:
                raise (
                    error
                    if isinstance(error, SplitkitError)
                    else DeviceError(
                        f"device {self.device.profile.name}: measuring {network.job.network}: {_last_line(error)}"
                    )
                )
            self._ready.appendleft(network)
            return
        board = network.board or _named_board(error, self._pool)
        if board is None:
            self._retire(worker, network, error)
            return
        network.board = board
        self.trouble[board] = _last_line(error)
        self._failures[board] = self._failures.get(board, 0) + 1
        if self._failures[board] >= FAILURES_PER_BOARD:
            self.left_out[board] = f"failed {self._failures[board]} times in a row"
        if network.tries < TRIES_PER_NETWORK:
            self._ready.appendleft(network)
        else:
            self.source.given_up(network.job)

    def _retire(self, worker: Worker, network: _Network, error: Exception) -> None:
        """No board was free in time: one bench too many. It comes back when the pool says so."""
        network.tries -= 1
        self._starved += 1
        self._ready.appendleft(network)
        if len(self._benches) > 1:
            self._benches.remove(worker)
            worker.kill()
        elif self._starved > FAILURES_PER_BOARD:
            raise error

    def _out_of_time(self, worker: Worker) -> None:
        if worker in self._compilers:
            job = worker.job
            worker.restart()
            name = job.network if isinstance(job, CompileJob) else "ranking"
            raise DeviceError(f"compiling {name}: no end within {COMPILE_TIMEOUT_S:g} s")
        network = self._measuring.pop(worker)
        worker.restart()
        self._failed(network, worker, DeviceError(f"no answer within {MEASURE_TIMEOUT_S:g} s"))


def spare_cpus(device: Device) -> tuple[int, ...]:
    """Processors that nothing is measured on: where compiling does not disturb."""
    usable = usable_cpus()
    if device.pool:
        return usable
    wanted = device.profile.cpus or usable[-device.profile.threads :]
    return tuple(cpu for cpu in usable if cpu not in wanted)


def _named_board(error: Exception, pool: BoardPool) -> str | None:
    """The board that an error names, if it was leased but never got so far as to say so."""
    return next((board for board in _names(pool) if f"board {board}: " in str(error)), None)


def _names(pool: BoardPool) -> Iterable[str]:
    try:
        return pool.boards()
    except DeviceError:
        return ()


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else repr(error)
