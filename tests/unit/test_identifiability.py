"""Identifiability from the sparse matrix: against the text's example, a dense decomposition, and the clock."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import sparse

from bayesexpr.data import identifiability as module
from bayesexpr.data.identifiability import identifiability


def dense(A: np.ndarray) -> tuple[int, np.ndarray]:
    """Rank, and which columns have no part in the null space, by one decomposition of the whole."""
    _, values, vectors = np.linalg.svd(A)
    rank = int((values > 1e-9 * max(values.max(), 1e-300)).sum())
    return rank, np.abs(vectors[rank:]).max(axis=0, initial=0.0) < 1e-6


def test_four_exons_of_the_text() -> None:
    """Exons of 60 and 70 nt give no read of 75 nt, so that transcript 3 (E1-E4) leaves no trace: rank 2."""
    found = identifiability(np.array([[0.0, 0, 0], [126, 0, 0], [0, 106, 0], [0, 0, 0]]))
    assert found.rank == 2
    np.testing.assert_array_equal(found.identifiable, [True, True, False])
    assert found.sets == [[2]]


@pytest.mark.parametrize(
    ("A", "rank", "sets"),
    [
        ([[1, 1]], 1, [[0, 1]]),
        ([[1, 1, 0], [0, 1, 1]], 2, [[0, 1, 2]]),
        ([[1, 1, 0, 0], [0, 0, 1, 1]], 2, [[0, 1], [2, 3]]),
        ([[1, 1, 1], [1, 0, 0]], 2, [[1, 2]]),
        ([[1, 1, 1], [0, 1, 1], [1, 1, 0]], 3, []),
        ([[1, 2], [2, 4]], 1, [[0, 1]]),
        ([[0, 0]], 0, [[0], [1]]),
    ],
)
def test_sets_by_hand(A: list[list[int]], rank: int, sets: list[list[int]]) -> None:
    found = identifiability(np.array(A, dtype=float))
    assert found.rank == rank
    assert found.sets == sets
    assert [int(t) for t in np.flatnonzero(~found.identifiable)] == sorted(t for members in sets for t in members)


@pytest.mark.parametrize("dense_columns", [module.DENSE_COLUMNS, 2])
def test_agrees_with_a_dense_decomposition(monkeypatch: pytest.MonkeyPatch, dense_columns: int) -> None:
    """Seed 1, 200 random matrices up to 30 x 30, 0/1 and weighted; also where every block counts as large."""
    monkeypatch.setattr(module, "DENSE_COLUMNS", dense_columns)
    rng = np.random.default_rng(1)
    loose = 0
    for trial in range(200):
        C, T = rng.integers(1, 31, 2)
        A = (rng.random((C, T)) < rng.uniform(0.05, 0.5)).astype(float)
        if trial % 2:
            A *= rng.integers(1, 3, (C, T))
        found = identifiability(A)
        rank, identifiable = dense(A)
        assert found.rank == rank
        np.testing.assert_array_equal(found.identifiable, identifiable)
        loose += int((~identifiable).sum())
    assert loose > 100, "the trials must hold what is to be found"


def test_sets_are_those_of_the_null_space() -> None:
    """Seed 2: columns are in one set exactly where the projector on the null space joins them."""
    rng = np.random.default_rng(2)
    for _ in range(100):
        A = (rng.random((6, 9)) < 0.3).astype(float)
        _, values, vectors = np.linalg.svd(A)
        null = vectors[int((values > 1e-9).sum()) :]
        joined = np.abs(null.T @ null) > 1e-7
        graph = sparse.csr_matrix(joined | np.eye(9, dtype=bool))
        label = sparse.csgraph.connected_components(graph, directed=False)[1]
        loose = np.diag(joined)
        expected = sorted(np.flatnonzero(loose & (label == k)).tolist() for k in set(label[loose]))
        assert sorted(identifiability(A).sets) == expected


def test_a_whole_transcriptome_takes_seconds() -> None:
    """180,000 transcripts of 40,000 genes, 400,000 classes, 2 % of them across genes (seed 3): 30 s of CPU time."""
    rng = np.random.default_rng(3)
    T, G, C = 180_000, 40_000, 400_000
    gene = np.sort(rng.integers(0, G, T))
    start = np.searchsorted(gene, np.arange(G + 1))
    chosen = rng.integers(0, G, C)
    size = np.diff(start)[chosen]
    row = np.repeat(np.arange(C), size)
    column = np.repeat(start[chosen], size) + np.arange(len(row)) - np.repeat(np.cumsum(size) - size, size)
    keep = rng.random(len(row)) < 0.5
    far = rng.integers(0, C, C // 50)
    row, column = np.append(row[keep], far), np.append(column[keep], rng.integers(0, T, len(far)))
    A = sparse.csr_matrix((np.ones(len(row)), (row, column)), shape=(C, T))
    A.data[:] = 1.0
    before = time.process_time()
    found = identifiability(A)
    assert time.process_time() - before < 30
    assert 0 < found.rank < T
    single = np.bincount(found.group[found.group >= 0])
    assert single.sum() == (~found.identifiable).sum()
