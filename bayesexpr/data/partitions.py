"""Which levels of the tested factor share their expression: the components of the exact-zero spike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..distributions import sum_to_zero_basis

MOST_LEVELS = 4  # 15 set partitions; five levels would have 52


@dataclass(frozen=True, eq=False)
class Partitions:
    """Components of the mixture over what is unchanged.

    Parameters
    ----------
    labels
        C names; the first is ``null`` (nothing changes), the last is the unrestricted one.
    projectors
        [C, K, K] orthogonal projectors on the K coefficients of the tested term: component c has effects
        ``projectors[c] @ b``.
    """

    labels: tuple[str, ...]
    projectors: NDArray[np.float64]


def set_partitions(size: int) -> Iterator[tuple[int, ...]]:
    """Yield every partition of `size` items as the block of each item, from one block to all apart."""

    def grow(prefix: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(prefix) == size:
            yield prefix
            return
        for block in range(max(prefix) + 2):
            yield from grow((*prefix, block))

    yield from grow((0,))


def level_partitions(levels: Sequence[str]) -> Partitions:
    """Return the components for a factor in its sum-to-zero coding.

    All set partitions of up to four levels; above, nothing changed, each level against the rest, and all free.
    """
    size = len(levels)
    if size == 2:
        return whole_term(1)
    labels, blocks = [], []
    if size <= MOST_LEVELS:
        for assignment in set_partitions(size):
            blocks.append(assignment)
            groups = [
                [level for level, own in zip(levels, assignment, strict=True) if own == block]
                for block in range(max(assignment) + 1)
            ]
            labels.append(" | ".join(" = ".join(group) for group in groups))
    else:
        blocks = [(0,) * size, *[tuple(int(i == k) for i in range(size)) for k in range(size)], tuple(range(size))]
        labels = ["", *[f"{level} | rest" for level in levels], ""]
    labels[0], labels[-1] = "null", "full"
    basis = sum_to_zero_basis(size)
    projectors = []
    for assignment in blocks:
        member = np.equal.outer(np.arange(max(assignment) + 1), assignment).astype(np.float64)
        block_mean = member.T @ (member / member.sum(axis=1, keepdims=True))
        projectors.append(basis.T @ block_mean @ basis)
    return Partitions(tuple(labels), np.array(projectors))


def whole_term(n_columns: int) -> Partitions:
    """Return two components: all coefficients of a term zero, or none."""
    label = "changed" if n_columns == 1 else "full"
    return Partitions(("null", label), np.array([np.zeros((n_columns, n_columns)), np.eye(n_columns)]))
