"""Running chains as processes: a few at once, watched, tried again when killed, and never left behind."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bayesexpr.errors import SamplingError
from bayesexpr.stan import processes

ATTEMPTS = 3
ChainProgress = Callable[[int, int, int, bool], None]
_ITERATION = re.compile(rb"Iteration:\s*(\d+)\s*/\s*(\d+)\s*\[.*\]\s*\((Warmup|Sampling)\)")
_LINE = 500  # bytes kept of one line of a log
_FIRST, _LAST = 50, 200  # lines kept of a log

# glibc would give the sampler's temporaries back to the system at every leapfrog step, and fetch them again.
_ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}


@dataclass(frozen=True)
class Task:
    """One chain to run: its number, command line, folder to run in, and the files it will write."""

    chain: int
    command: tuple[str, ...]
    folder: Path
    outputs: tuple[Path, ...]


@dataclass
class _Log:
    """The first and the last lines of what a chain said, each cut to a bounded length."""

    first: list[str] = field(default_factory=list)
    last: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST))
    rest: bytes = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give the whole lines among what came."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        self.rest = self.rest[-(1 << 16) :]
        yield from lines

    def keep(self, line: bytes) -> None:
        text = line[:_LINE].decode(errors="replace").rstrip()
        if text:
            (self.first if len(self.first) < _FIRST else self.last).append(text)

    def tail(self, lines: int = 12) -> str:
        return "\n".join([*self.first, *self.last][-lines:])


@dataclass
class _Running:
    task: Task
    attempt: int
    process: subprocess.Popen[bytes]
    started: float
    log: _Log = field(default_factory=_Log)
    overdue: bool = False


def run_chains(
    tasks: Sequence[Task],
    *,
    cores: int,
    again: Callable[[Task, int], Task],
    finished: Callable[[Task], str | None],
    progress: ChainProgress | None = None,
    on_start: Callable[[Task], str | None] | None = None,
    timeout: float | None = None,
    threads: int = 1,
) -> tuple[str, ...]:
    """Run all chains to their end, at most ``cores`` at once.

    Parameters
    ----------
    tasks : sequence of Task
    cores : int
        Chains that run together.
    again : callable
        Given the task of a chain that was killed and the number of the next attempt (1, 2), returns the task
        that takes its place.
    finished : callable
        Says what is wrong with the files of a chain that ended well; None if nothing is.
    progress : callable, optional
        Told (chain, iteration, iterations in all, whether it warms up).
    on_start : callable, optional
        Asked at each sign of life whether to go on; a sentence stops everything.
    timeout : float, optional
        Seconds after which a chain is ended and the run fails.
    threads : int
        Threads of each chain, for programs that can use them.

    Returns
    -------
    tuple of str
        One sentence for each chain that was run again.

    Raises
    ------
    SamplingError
        A chain failed; the message has its reason and the last lines of its log. All others are ended.
    """
    waiting = deque((task, 0) for task in tasks)
    running: list[_Running] = []
    retries: list[str] = []
    with processes.sigterm_raises(), selectors.DefaultSelector() as selector:
        try:
            while waiting or running:
                while waiting and len(running) < cores:
                    chain = _start(*waiting.popleft(), threads)
                    running.append(chain)
                    assert chain.process.stdout is not None
                    os.set_blocking(chain.process.stdout.fileno(), False)
                    selector.register(chain.process.stdout, selectors.EVENT_READ, chain)
                for key, _ in selector.select(timeout=0.2):
                    if not _listen(key.data, progress, on_start):
                        selector.unregister(key.fileobj)
                        with contextlib.suppress(subprocess.TimeoutExpired):
                            key.data.process.wait(timeout=0.2)
                for chain in [c for c in running if _has_ended(c, timeout)]:
                    running.remove(chain)
                    _close(chain, selector, progress)
                    sentence = _judge(chain, finished, timeout)
                    if sentence is not None:
                        retries.append(sentence)
                        waiting.append((again(chain.task, chain.attempt + 1), chain.attempt + 1))
        except BaseException:
            processes.end([chain.process for chain in running])
            for chain in running:
                assert chain.process.stdout is not None
                chain.process.stdout.close()
            raise
    return tuple(retries)


def _start(task: Task, attempt: int, threads: int) -> _Running:
    for output in task.outputs:
        output.unlink(missing_ok=True)
    process = processes.start(
        task.command,
        folder=task.folder,
        environment=os.environ | _ENVIRONMENT | {"STAN_NUM_THREADS": str(threads)},
        output=subprocess.PIPE,
        at_parents_death=signal.SIGKILL,
    )
    return _Running(task, attempt, process, time.monotonic())


def _listen(
    chain: _Running, progress: ChainProgress | None, on_start: Callable[[Task], str | None] | None = None
) -> bool:
    """Take in what a chain said; False at the end of its output."""
    assert chain.process.stdout is not None
    try:
        data = os.read(chain.process.stdout.fileno(), 1 << 16)
    except BlockingIOError:
        return True
    for line in chain.log.feed(data):
        match = _ITERATION.search(line)
        if match is None:
            chain.log.keep(line)
            continue
        if progress is not None:
            progress(chain.task.chain, int(match[1]), int(match[2]), match[3] == b"Warmup")
        obstacle = on_start(chain.task) if on_start is not None else None
        if obstacle is not None:
            raise SamplingError(obstacle)
    return bool(data)


def _has_ended(chain: _Running, timeout: float | None) -> bool:
    if chain.process.poll() is not None:
        return True
    if timeout is not None and time.monotonic() - chain.started > timeout:
        chain.overdue = True
        processes.end([chain.process])
        return True
    return False


def _close(chain: _Running, selector: selectors.BaseSelector, progress: ChainProgress | None) -> None:
    """Read what is left of the output and keep the log beside the chain's files."""
    stream = chain.process.stdout
    assert stream is not None
    if stream in selector.get_map():
        selector.unregister(stream)
    with contextlib.suppress(BlockingIOError):
        while data := os.read(stream.fileno(), 1 << 16):
            for line in chain.log.feed(data):
                match = _ITERATION.search(line)
                if match is None:
                    chain.log.keep(line)
                elif progress is not None:
                    progress(chain.task.chain, int(match[1]), int(match[2]), match[3] == b"Warmup")
    chain.log.keep(chain.log.rest)
    stream.close()
    with contextlib.suppress(OSError):
        log = chain.task.folder / f"chain_{chain.task.chain}.log"
        log.write_text("\n".join([*chain.log.first, *chain.log.last, ""]), encoding="utf-8")


def _judge(chain: _Running, finished: Callable[[Task], str | None], timeout: float | None) -> str | None:
    """Return None for a chain that is done, a sentence for one to be run again; raise for one that failed."""
    code, number = chain.process.returncode, chain.task.chain
    if chain.overdue:
        raise SamplingError(
            f"chain {number} was ended: it had not finished after {timeout:g} s. Allow more time, or "
            "look at its "
            f"log:\n{chain.log.tail()}"
        )
    if code < 0 and -code != signal.SIGINT:
        name = signal.Signals(-code).name
        sentence = f"chain {number} was killed by {name}"
        if chain.attempt + 1 < ATTEMPTS:
            return f"{sentence} and run again with another seed"
        raise SamplingError(
            f"{sentence}, {ATTEMPTS} times. If memory ran out, run fewer chains at once (cores); the end "
            "of its log:"
            f"\n{chain.log.tail()}"
        )
    if code != 0:
        raise SamplingError(
            f"chain {number} failed with exit code {code}{_disk(chain.task.folder)}; the end of its log:"
            f"\n{chain.log.tail()}"
        )
    fault = finished(chain.task)
    if fault is not None:
        raise SamplingError(
            f"the output of chain {number} is not whole, though it ended well: "
            f"{fault}{_disk(chain.task.folder)}. "
            f"Look at the disk and run the fit again; the end of its log:\n{chain.log.tail()}"
        )
    return None


def _disk(folder: Path) -> str:
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    return f" (the disk is full: {free} bytes are free)" if free < 1 << 20 else ""
