r"""Which transcripts the counts of classes can tell apart, found from the compatibility matrix before any fit.

The expected counts are :math:`A \lambda`, with a row of A per class and a column per transcript. The abundance of
transcript t is identified if no vector of the null space of A has a part in t. A transcriptome has a sparse A with
10^5 columns, so its null space is never formed as a whole:

1. a class with one transcript identifies it; its column is taken out, which may leave other classes with one
   transcript, and so on;
2. what remains falls into connected blocks, and equal columns and rows of a block are merged;
3. the null space of a block comes from its own singular value decomposition if it is small. For a larger block one
   random vector is projected on the null space by LSMR: with probability one its part in t is zero exactly where that
   of the whole null space is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph
from scipy.sparse import linalg as sparse_linalg

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

DENSE_COLUMNS = 600  # a block of this many columns is decomposed in a fraction of a second
RELATIVE_ZERO = 1e-9  # of the largest singular value; parts of the null space below it are rounding
_LSMR_ZERO = 1e-6  # of a standard normal vector's projection; LSMR itself stops at 1e-13


@dataclass(frozen=True, eq=False)
class Identifiability:
    """What the classes say about T transcripts.

    Attributes
    ----------
    identifiable
        [T] whether the abundance follows from the expected counts of the classes.
    group
        [T] number of the set of transcripts, from 0 in order of their first member, within which the data cannot
        tell one from another; -1 where identifiable. A transcript that is in no class is a set of its own.
    rank
        Rank of the matrix: how many independent abundances the counts can give.
    block
        [T] number of the connected block of the transcript.
    """

    identifiable: BoolArray
    group: IntArray
    rank: int
    block: IntArray

    @property
    def sets(self) -> list[list[int]]:
        """Members of each group, in order."""
        members = np.flatnonzero(self.group >= 0)
        ordered = members[np.argsort(self.group[members], kind="stable")]
        cuts = np.flatnonzero(np.diff(self.group[ordered])) + 1
        return [part.tolist() for part in np.split(ordered, cuts)] if len(ordered) else []


def identifiability(matrix: sparse.spmatrix | FloatArray) -> Identifiability:
    """Say which columns (transcripts) of a matrix its rows (classes) can tell apart.

    Parameters
    ----------
    matrix
        [C, T] expected count of a class per unit of abundance of a transcript: 0/1, the tool's weights, or effective
        lengths. Only which transcripts a class has, and the ratios within a class, matter.

    Returns
    -------
    Identifiability
    """
    A = sparse.csr_matrix(matrix, dtype=np.float64, copy=True)
    A.eliminate_zeros()
    A = A[np.diff(A.indptr) > 0]
    T = A.shape[1]
    block = connected_blocks(A)
    identifiable = np.zeros(T, dtype=bool)
    rest = _peel(A, identifiable)
    rank = int(identifiable.sum())
    merged, copy_of = _merge_columns(_merge_rows(rest))
    seen = np.flatnonzero(np.diff(rest.tocsc().indptr) > 0)
    null_parts: list[IntArray] = []
    for columns, part in _split(merged):
        block_rank, null = _null_parts(part)
        rank += block_rank
        null_parts += [columns[null[:, k]] for k in range(null.shape[1])]
    loose = np.zeros(merged.shape[1], dtype=bool)
    loose[np.concatenate([np.zeros(0, dtype=np.int64), *null_parts])] = True
    identifiable[seen] = ((np.bincount(copy_of[seen]) == 1) & ~loose[: copy_of[seen].max(initial=-1) + 1])[
        copy_of[seen]
    ]
    edges = _null_edges(null_parts, copy_of, seen)
    return Identifiability(identifiable, _groups(identifiable, edges), rank, block)


def connected_blocks(A: sparse.csr_matrix) -> IntArray:
    """Return the connected component of every column, from 0: two columns are connected if a row has both."""
    C, T = A.shape
    graph = sparse.bmat([[None, A], [A.T, None]], format="csr") if A.nnz else sparse.csr_matrix((C + T, C + T))
    labels = csgraph.connected_components(graph, directed=False)[1][C:]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[inverse], dtype=np.int64)


def _peel(A: sparse.csr_matrix, identifiable: BoolArray) -> sparse.csr_matrix:
    """Mark columns that a row with one entry identifies, take them out, and repeat; return what is left."""
    while True:
        lone = np.flatnonzero(np.diff(A.indptr) == 1)
        if not len(lone):
            return A
        known = np.unique(A.indices[A.indptr[lone]])
        identifiable[known] = True
        keep = ~identifiable[A.indices]
        kept = np.concatenate([[0], np.cumsum(keep)])
        A = sparse.csr_matrix((A.data[keep], A.indices[keep], kept[A.indptr]), shape=A.shape)
        A = A[np.diff(A.indptr) > 0]


@dataclass(frozen=True, eq=False)
class _Block:
    """A connected block of the matrix in compressed rows, without the price of SciPy's checks for each."""

    value: FloatArray
    column: IntArray
    pointer: IntArray
    shape: tuple[int, int]


def _split(A: sparse.csr_matrix) -> Iterator[tuple[IntArray, _Block]]:
    """Yield the columns and the matrix of each connected block; every row and every column has an entry."""
    if not A.nnz:
        return
    label = connected_blocks(A)
    columns = np.argsort(label, kind="stable")
    row_label = label[A.indices[A.indptr[:-1]]]
    ordered = sparse.csr_matrix(A[np.argsort(row_label, kind="stable")][:, columns])
    last = np.cumsum(np.bincount(label))
    last_row = np.cumsum(np.bincount(row_label, minlength=len(last)))
    for i, j, first, stop in zip(
        last - np.bincount(label), last, np.concatenate([[0], last_row[:-1]]), last_row, strict=True
    ):
        pointer = ordered.indptr[first : stop + 1]
        span = slice(pointer[0], pointer[-1])
        block = _Block(ordered.data[span], ordered.indices[span] - i, pointer - pointer[0], (stop - first, j - i))
        yield columns[i:j], block


def _merge_columns(A: sparse.csr_matrix) -> tuple[sparse.csr_matrix, IntArray]:
    """Keep one of the columns that are multiples of each other, and say which stands for each column (-1: empty)."""
    by_column = A.tocsc()
    by_column.sort_indices()
    pointer, indices = by_column.indptr, by_column.indices
    first = np.repeat(by_column.data[np.minimum(pointer[:-1], max(A.nnz - 1, 0))], np.diff(pointer)) if A.nnz else 1.0
    ratios = np.round(by_column.data / first, 9)
    seen: dict[tuple[bytes, bytes], int] = {}
    copy_of = np.full(A.shape[1], -1, dtype=np.int64)
    keep: list[int] = []
    for j in np.flatnonzero(np.diff(pointer) > 0):
        i, k = pointer[j], pointer[j + 1]
        stands = seen.setdefault((indices[i:k].tobytes(), ratios[i:k].tobytes()), len(keep))
        if stands == len(keep):
            keep.append(int(j))
        copy_of[j] = stands
    return sparse.csr_matrix(by_column[:, keep]), copy_of


def _merge_rows(A: sparse.csr_matrix) -> sparse.csr_matrix:
    """Keep one of the rows that are multiples of each other."""
    transposed, _ = _merge_columns(sparse.csr_matrix(A.T))
    return sparse.csr_matrix(transposed.T)


def _null_parts(block: _Block) -> tuple[int, BoolArray]:
    """Return the rank of a block and, [columns, k], which columns each of k null vectors has a part in."""
    rows, columns = block.shape
    if columns <= 2:  # columns that are not multiples of each other are independent
        return columns, np.zeros((columns, 0), dtype=bool)
    if columns > DENSE_COLUMNS:
        return _probe(block)
    dense = np.zeros((rows, columns))
    dense[np.repeat(np.arange(rows), np.diff(block.pointer)), block.column] = block.value
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    triangle = np.linalg.qr(dense, mode="r") if rows > columns else dense
    _, values, vectors = np.linalg.svd(triangle, full_matrices=True)
    rank = int((values > RELATIVE_ZERO * values[0]).sum())
    return rank, _support(vectors[rank:].T)


def _support(null: FloatArray) -> BoolArray:
    """Separate the null space [columns, k] into directions that share no column, as far as it falls apart."""
    if null.shape[1] == 0:
        return np.zeros((len(null), 0), dtype=bool)
    size = np.linalg.norm(null, axis=1)
    inside = np.flatnonzero(size > np.sqrt(RELATIVE_ZERO))
    unit = null[inside] / size[inside, None]
    joined = sparse.csr_matrix(np.abs(unit @ unit.T) > np.sqrt(RELATIVE_ZERO))
    count, label = csgraph.connected_components(joined, directed=False)
    parts = np.zeros((len(null), count), dtype=bool)
    parts[inside, label] = True
    return parts


def _probe(block: _Block) -> tuple[int, BoolArray]:
    """Answer for a large block: the columns of its null space, in sets of those that share a row."""
    A = sparse.csr_matrix((block.value, block.column, block.pointer), shape=block.shape)
    A = sparse.csr_matrix(sparse.diags(1 / sparse_linalg.norm(A, axis=1)) @ A)
    rng = np.random.default_rng(0)
    x = rng.standard_normal(A.shape[1])
    solution = sparse_linalg.lsmr(A, A @ x, atol=1e-13, btol=1e-13, conlim=0, maxiter=20 * A.shape[1])[0]
    inside = np.flatnonzero(np.abs(x - solution) > _LSMR_ZERO)
    parts = np.zeros((A.shape[1], 0), dtype=bool)
    if not len(inside):
        return A.shape[1], parts
    loose = sparse.csr_matrix(A[:, inside])
    label = connected_blocks(loose)
    parts = np.zeros((A.shape[1], label.max() + 1), dtype=bool)
    parts[inside, label] = True
    return A.shape[1] - len(inside) + _rank_within(loose, label), parts


def _rank_within(A: sparse.csr_matrix, label: IntArray) -> int:
    """Rank of the part of a large block that has the null space, by its own blocks where they are small."""
    rank = 0
    for number in range(label.max() + 1):
        part = A[:, np.flatnonzero(label == number)]
        part = part[np.diff(part.indptr) > 0]
        rank += int(np.linalg.matrix_rank(part.toarray(), tol=RELATIVE_ZERO * sparse_linalg.norm(part)))
    return rank


def _null_edges(null_parts: list[IntArray], copy_of: IntArray, seen: IntArray) -> IntArray:
    """Return pairs [2, n] of columns in one set: copies of each other, or parts of one null vector."""
    order = seen[np.argsort(copy_of[seen], kind="stable")]
    same = np.flatnonzero(np.diff(copy_of[order]) == 0)
    pairs = [np.stack([order[same], order[same + 1]])]
    representative = order[np.flatnonzero(np.diff(copy_of[order], prepend=-1))]
    for part in null_parts:
        members = representative[part]
        pairs.append(np.stack([members[:-1], members[1:]]))
    return np.concatenate(pairs, axis=1)


def _groups(identifiable: BoolArray, pairs: IntArray) -> IntArray:
    T = len(identifiable)
    graph = sparse.coo_matrix((np.ones(pairs.shape[1]), (pairs[0], pairs[1])), shape=(T, T))
    label = csgraph.connected_components(graph, directed=False)[1]
    group = np.full(T, -1, dtype=np.int64)
    loose = ~identifiable
    _, first, inverse = np.unique(label[loose], return_index=True, return_inverse=True)
    group[loose] = np.argsort(np.argsort(first))[inverse]
    return group
