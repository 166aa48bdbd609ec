"""Running many simulations at once on the processes of this machine, or on any executor.

A worker that dies (killed, out of memory) breaks the pool: a new one is made, and the simulations that were in flight
are then run one at a time, so that the one that kills its worker is known, tried again with another seed, and after
`DEATHS` deaths written down as failed. Workers end by themselves when their parent does.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from bayesexpr.errors import SamplingError

from .simulation import Simulator

DEATHS = 3
IN_FLIGHT = 2  # for each worker: one that runs and one that waits
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
Row = dict[str, Any]
Task = tuple[int, int, int]  # stage, index, attempt

_simulator: Simulator | None = None


def run_here(simulator: Simulator, tasks: Iterable[tuple[int, int]]) -> Iterator[Row]:
    """Run simulations one by one in this process."""
    for stage, index in tasks:
        yield simulator.run(stage, index)


def run_in_pool(simulator: Simulator, tasks: Iterable[tuple[int, int]], workers: int) -> Iterator[Row]:
    """Run simulations on `workers` processes; rows come as they are finished."""
    waiting: deque[Task] = deque((stage, index, 0) for stage, index in tasks)
    suspects: deque[Task] = deque()
    while waiting or suspects:
        lost: list[Task] = []
        alone = bool(suspects)
        queue = deque([suspects.popleft()]) if alone else waiting
        with _limited_threads(), _pool(simulator, 1 if alone else workers) as pool:
            yield from _drain(pool, _run_shared, queue, lost, 1 if alone else workers)
        for stage, index, attempt in lost:
            if not alone:
                suspects.append((stage, index, attempt))
            elif attempt + 1 < DEATHS:
                suspects.append((stage, index, attempt + 1))
            else:
                reason = f"its process died {DEATHS} times (killed, or out of memory)"
                yield {"stage": stage, "index": index, "attempt": attempt, "reason": reason, "seconds": 0.0}


def run_on(executor: Executor, simulator: Simulator, tasks: Iterable[tuple[int, int]], workers: int) -> Iterator[Row]:
    """Run simulations on an executor that is there already, such as a cluster's; it handles lost workers itself."""
    lost: list[Task] = []
    queue = deque((stage, index, 0) for stage, index in tasks)
    yield from _drain(executor, simulator.run, queue, lost, workers)
    if lost:
        raise SamplingError(f"the executor broke with {len(lost)} simulations in flight. Run the campaign again.")


def _drain(
    executor: Executor, run: Callable[[int, int, int], Row], queue: deque[Task], lost: list[Task], workers: int
) -> Iterator[Row]:
    """Keep the executor busy until the queue is empty or the executor breaks; what is in flight then is lost."""
    pending: dict[Future[Row], Task] = {}
    broken = False
    try:
        while (queue and not broken) or pending:
            while queue and not broken and len(pending) < IN_FLIGHT * workers:
                task = queue.popleft()
                try:
                    pending[executor.submit(run, *task)] = task
                except BrokenProcessPool:
                    queue.appendleft(task)
                    broken = True
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                task = pending.pop(future)
                try:
                    row = future.result()
                except BrokenProcessPool:
                    broken = True
                    lost.append(task)
                else:
                    yield row
    finally:
        for future in pending:
            future.cancel()


@contextlib.contextmanager
def _pool(simulator: Simulator, workers: int) -> Iterator[ProcessPoolExecutor]:
    # Not forked from this process: a fork of a process with threads can stop in the child for ever. The server that
    # forks the workers has one thread, and has loaded already what they need; it ends with this process.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(simulator,))
    try:
        yield pool
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start(simulator: Simulator) -> None:
    """Prepare a worker: it leaves Ctrl-C to its parent and does not outlive it."""
    global _simulator
    _simulator = simulator
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait for the end of the process that made the pool; `os.getppid` would be that of the server of forks."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _run_shared(stage: int, index: int, attempt: int) -> Row:
    assert _simulator is not None
    try:
        return _simulator.run(stage, index, attempt)
    except SystemExit:  # told to end while chains ran: end, rather than hand the exit on to the parent as a result
        os._exit(1)


@contextlib.contextmanager
def _limited_threads() -> Iterator[None]:
    """Let every worker compute on one thread: there are as many workers as cores."""
    missing = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(missing, "1"))
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)
