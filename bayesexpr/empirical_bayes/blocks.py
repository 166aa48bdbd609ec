"""Work on genes a block at a time, some blocks at once, results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

GENES_PER_BLOCK = 64
"""Genes whose draws stay near the processor: a thousand draws of one number of each are half a megabyte."""

Task = TypeVar("Task")
Result = TypeVar("Result")


def gene_ranges(genes: int, size: int = GENES_PER_BLOCK) -> Iterator[NDArray[np.int64]]:
    """Cut the numbers of all genes into blocks."""
    for start in range(0, genes, size):
        yield np.arange(start, min(start + size, genes))


def in_threads(work: Callable[[Task], Result], tasks: Iterable[Task], threads: int) -> Iterator[Result]:
    """Do `work` on every task, `threads` at a time, and give the results in order.

    Tasks are made on demand, and no more than two results for each thread wait to be taken.
    """
    with ThreadPoolExecutor(max(1, threads)) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(work, task))
                if len(waiting) >= 2 * max(1, threads):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
