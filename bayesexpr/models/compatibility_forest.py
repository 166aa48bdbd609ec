r"""Coordinates in which the posterior of transcript abundances is nearly round: a binary tree per block of transcripts.

Transcripts that share fragments are the leaves of a binary tree, joined first if the fragments are most often
shared. The coordinates are the log of the tree's total and the logit of the share that goes left at each split. The
counts determine totals and early splits, and what they leave open is left to the late ones. The map from coordinates
to log abundances preserves volume. Jones and Ruzzo (2021), NAR Genom Bioinform 3:lqab046, use such trees to approximate
the likelihood; here they only carry the sampler.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, special

from bayesexpr.data.identifiability import connected_blocks
from bayesexpr.models.sparse_linkage import average_linkage

Float = NDArray[np.float64]
Int = NDArray[np.int64]

EM_STEPS = 300


@dataclass(frozen=True, eq=False)
class Forest:
    """Binary trees over T leaves: B roots, T - B splits.

    Nodes are numbered from 0: leaves 0 to T - 1, then splits, each after the split it belongs to.

    Attributes
    ----------
    root
        [B] node at the top of each tree.
    left, right
        [T - B] nodes below each split.
    """

    root: Int
    left: Int
    right: Int

    @property
    def leaves(self) -> int:
        """Number of leaves, T."""
        return len(self.root) + len(self.left)

    def log_leaves(self, v: Float) -> Float:
        """Return the log abundance of the leaves for coordinates v: log totals [B], then logits [T - B]."""
        T, B = self.leaves, len(self.root)
        log_mass = np.zeros(T + len(self.left))
        log_mass[self.root] = v[:B]
        log_left, log_right = special.log_expit(v[B:]), special.log_expit(-v[B:])
        for i in range(T - B):
            log_mass[self.left[i]] = log_mass[T + i] + log_left[i]
            log_mass[self.right[i]] = log_mass[T + i] + log_right[i]
        return log_mass[:T]

    def masses(self, leaves: Float) -> Float:
        """Return the abundance of every node, of which those of the leaves are given."""
        mass = np.concatenate([leaves, np.zeros(len(self.left))])
        for i in range(len(self.left) - 1, -1, -1):
            mass[self.leaves + i] = mass[self.left[i]] + mass[self.right[i]]
        return mass

    def coordinates(self, leaves: Float) -> Float:
        """Return log totals and logits at which the leaves have the abundances given."""
        mass = self.masses(leaves)
        return np.concatenate([np.log(mass[self.root]), np.log(mass[self.left]) - np.log(mass[self.right])])

    def below(self) -> sparse.csr_matrix:
        """Return [T, T + T - B]: 1 where a leaf is below, or is, a node."""
        T = self.leaves
        member: list[list[int]] = [[t] for t in range(T)] + [[] for _ in self.left]
        for i in range(len(self.left) - 1, -1, -1):
            member[T + i] = member[self.left[i]] + member[self.right[i]]
        sizes = [len(m) for m in member]
        columns = np.repeat(np.arange(len(member)), sizes)
        rows = np.concatenate([np.asarray(m, dtype=np.int64) for m in member])
        return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(T, len(member)))

    def stan_data(self) -> dict[str, Any]:
        """Return the forest by the names of the program, numbered from 1."""
        return {"B": len(self.root), "root": self.root + 1, "left": self.left + 1, "right": self.right + 1}


def grow(probability: sparse.csr_matrix, count: Int) -> Forest:
    """Join the transcripts of each block, those that share the most fragments first (average linkage).

    Parameters
    ----------
    probability
        [C, T] probability of the class given the transcript, up to a factor per class.
    count
        [C] fragments.
    """
    T = probability.shape[1]
    block = connected_blocks(probability)
    share = sparse.diags(np.sqrt(count) / np.asarray(probability.sum(axis=1)).ravel()) @ probability
    size = np.sqrt(np.asarray(share.multiply(share).sum(axis=0)).ravel())
    unit = sparse.csc_matrix(share @ sparse.diags(1 / np.where(size > 0, size, 1.0)))
    order = np.argsort(block, kind="stable")
    roots: list[int] = []
    children: list[tuple[int, int]] = []
    for members in np.split(order, np.flatnonzero(np.diff(block[order])) + 1):
        roots.append(_join(unit[:, members], members, T, children))
    return Forest(np.array(roots), *np.array(children, dtype=np.int64).reshape(-1, 2).T)


def _join(unit: sparse.csc_matrix, members: Int, T: int, children: list[tuple[int, int]]) -> int:
    """Append the splits of one block to `children`, from the top; return the node at its top."""
    n = len(members)
    if n == 1:
        return int(members[0])
    merges = average_linkage(unit)
    # Merge k makes cluster n + k; the last is the top, and splits are numbered from the top.
    offset = T + len(children)
    node = np.concatenate([members, offset + np.arange(n - 2, -1, -1)])
    children.extend((int(node[a]), int(node[b])) for a, b in merges[::-1])
    return offset


def expectation_maximisation(
    probability: sparse.csr_matrix, count: Int, exposure: Float, shape: float, inverse_scale: Float
) -> Float:
    """Return [T] expected fragments of each transcript at about their posterior mean, never zero.

    Expectation-maximisation (Li and Dewey 2011, BMC Bioinformatics 12:323) with a gamma prior of the shape and [T]
    inverse scales given; `exposure` is 1, or 0 for a transcript that cannot give a fragment.
    """
    by_row, by_column = probability.tocsr(), sparse.csr_matrix(probability.T)
    eta = (shape + count.sum() / probability.shape[1]) / (exposure + inverse_scale)
    for _ in range(EM_STEPS):
        eta = (eta * (by_column @ (count / (by_row @ eta))) + shape) / (exposure + inverse_scale)
    return np.asarray(eta)


def whiten(forest: Forest, probability: sparse.csr_matrix, count: Int, eta: Float, shape: float) -> tuple[Float, Float]:
    """Return center and scale [T] of the coordinates: their values at `eta` and about the posterior sd there.

    The information of a coordinate is that of the counts, sum_c y_c (d log mu_c)^2, and that of a prior under which
    a leaf is a gamma variable of the shape given.
    """
    T = forest.leaves
    below = forest.below()
    mass = forest.masses(eta)
    left, right = below[:, forest.left], below[:, forest.right]
    share = mass[forest.left] / mass[T:]
    slope = sparse.hstack([below[:, forest.root], left @ sparse.diags(1 - share) - right @ sparse.diags(share)])
    change = sparse.diags(np.sqrt(count) / (probability @ eta)) @ probability @ sparse.diags(eta) @ slope
    information = np.asarray(change.multiply(change).sum(axis=0)).ravel()
    spread = special.polygamma(1, shape * np.asarray(below.sum(axis=0)).ravel())
    prior = np.concatenate([spread[forest.root], spread[forest.left] + spread[forest.right]])
    return forest.coordinates(eta), 1 / np.sqrt(information + 1 / prior)
