"""Average linkage of the columns of a sparse matrix, for two columns or for the hundred thousand of a transcriptome."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.cluster import hierarchy

DENSE_COLUMNS = 2000  # up to which all pairs are compared, in 32 MB
LARGEST_ROW = 100  # of a larger matrix: rows with more columns say little of any two, and have the most pairs


def average_linkage(unit: sparse.csc_matrix) -> NDArray[np.int64]:
    """Join the columns whose cosine, averaged over the pairs of two clusters, is the largest, until all are one.

    Parameters
    ----------
    unit
        [rows, n] columns of length one.

    Returns
    -------
    array [n - 1, 2]
        The two clusters of each merge; the k-th makes cluster n + k.
    """
    n = unit.shape[1]
    if n > DENSE_COLUMNS:
        return _by_heap(unit)
    likeness = (unit.T @ unit).toarray()
    distance = np.clip(1.0 - likeness[np.triu_indices(n, 1)], 0.0, 1.0)
    return np.asarray(hierarchy.linkage(distance, "average")[:, :2], dtype=np.int64)


def _by_heap(unit: sparse.csc_matrix) -> NDArray[np.int64]:
    """Keep only pairs of clusters that share a row; clusters that share none are joined last, two by two."""
    n = int(unit.shape[1])
    by_row = sparse.csr_matrix(unit)
    kept = by_row[np.diff(by_row.indptr) <= LARGEST_ROW]
    pairs = sparse.triu(kept.T @ kept, 1).tocoo()
    shared: list[dict[int, float]] = [{} for _ in range(n)]
    heap = []
    for a, b, likeness in zip(pairs.row.tolist(), pairs.col.tolist(), pairs.data.tolist(), strict=True):
        shared[a][b] = shared[b][a] = likeness
        heap.append((-likeness, a, b))
    heapq.heapify(heap)
    size, alive = [1] * n, [True] * n
    merges: list[tuple[int, int]] = []

    def merge(a: int, b: int) -> int:
        new = n + len(merges)
        merges.append((a, b))
        size.append(size[a] + size[b])
        alive[a] = alive[b] = False
        alive.append(True)
        return new

    while heap:
        _, a, b = heapq.heappop(heap)
        if not (alive[a] and alive[b]):
            continue
        new = merge(a, b)
        fewer, more = sorted((shared[a], shared[b]), key=len)
        for other, likeness in fewer.items():
            more[other] = more.get(other, 0.0) + likeness
        del more[a], more[b]
        shared[a] = shared[b] = {}
        shared.append(more)
        for other, likeness in more.items():
            theirs = shared[other]
            theirs.pop(a, None)
            theirs.pop(b, None)
            theirs[new] = likeness
            heapq.heappush(heap, (-likeness / (size[new] * size[other]), other, new))
    left = [cluster for cluster, still in enumerate(alive) if still]
    while len(left) > 1:
        left = [merge(*left[i : i + 2]) if i + 1 < len(left) else left[i] for i in range(0, len(left), 2)]
    return np.array(merges, dtype=np.int64)
