"""Average linkage without all pairs: the same tree as with them, and what joins columns that share nothing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from bayesexpr.models import sparse_linkage
from bayesexpr.models.sparse_linkage import average_linkage


def columns(rows: int, n: int, density: float, seed: int) -> sparse.csc_matrix:
    """Columns of length one with random entries, so that no two pairs are equally alike."""
    rng = np.random.default_rng(seed)
    dense = rng.uniform(0.1, 1, (rows, n)) * (rng.random((rows, n)) < density)
    dense[rng.integers(0, rows, n), np.arange(n)] = 1.0
    return sparse.csc_matrix(dense / np.linalg.norm(dense, axis=0))


def clusters(merges: NDArray[np.int64]) -> set[frozenset[int]]:
    members = [frozenset([i]) for i in range(len(merges) + 1)]
    for a, b in merges:
        members.append(members[a] | members[b])
    return set(members)


def test_without_all_pairs_the_tree_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = columns(60, 80, 0.2, seed=4)
    dense = average_linkage(unit)
    monkeypatch.setattr(sparse_linkage, "DENSE_COLUMNS", 1)
    merges = average_linkage(unit)
    assert merges.shape == (79, 2)
    assert clusters(merges) == clusters(dense)
    assert clusters(average_linkage(columns(60, 80, 0.2, seed=5))) != clusters(dense)  # the control


def test_columns_that_share_no_small_row_are_joined_two_by_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_linkage, "DENSE_COLUMNS", 1)
    n = sparse_linkage.LARGEST_ROW + 28
    merges = average_linkage(sparse.csc_matrix(np.ones((1, n))))
    sizes = sorted(len(c) for c in clusters(merges))
    assert sizes[-1] == n == 128
    assert sizes.count(64) == 2  # a chain would have one cluster of each size
