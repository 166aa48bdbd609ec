"""The validated count table: samples x genes, with the sample table and, if known, effective lengths."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ..errors import CountsError
from .identifiers import canonical, checked_names, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import anndata

LARGEST_COUNT = 2**31 - 1  # Stan's integers
RAW = "Pass raw counts, not normalised values."

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CountData:
    """Counts of fragments per sample and gene.

    Validated when made; its arrays are read-only copies.

    Parameters
    ----------
    counts
        [S, G] whole numbers from 0 to 2^31 - 1, of any numeric dtype (kept as int64).
    genes
        G names, unique.
    samples
        S names, unique.
    sample_table
        Indexed by sample, in the order of `samples`; its columns are what a design formula can name.
    lengths
        Optional [S, G] effective lengths in nucleotides, positive.
    assignment_variance
        Optional [S, G] variance of each count over the inferential replicates of its quantification, less their mean:
        what not knowing where fragments came from adds to the variance of counting. Finite; below zero by chance only.

    Raises
    ------
    CountsError
        An entry is negative, fractional, missing, infinite or huge; a name is repeated; a sample has no count at
        all; there are fewer than two samples or no gene; shapes disagree.
    """

    counts: IntArray
    genes: tuple[str, ...]
    samples: tuple[str, ...]
    sample_table: pd.DataFrame
    lengths: FloatArray | None = None
    assignment_variance: FloatArray | None = None

    def __post_init__(self) -> None:
        genes = checked_names(self.genes, "gene")
        samples = checked_names(self.samples, "sample")
        counts = _checked_counts(self.counts, genes, samples)
        counts.setflags(write=False)
        object.__setattr__(self, "genes", genes)
        object.__setattr__(self, "samples", samples)
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "sample_table", _checked_sample_table(self.sample_table, samples))
        if self.lengths is not None:
            lengths = _checked_lengths(self.lengths, genes, samples)
            lengths.setflags(write=False)
            object.__setattr__(self, "lengths", lengths)
        if self.assignment_variance is not None:
            unsure = _checked_variance(self.assignment_variance, genes, samples)
            unsure.setflags(write=False)
            object.__setattr__(self, "assignment_variance", unsure)

    @property
    def expressed(self) -> BoolArray:
        """[G] whether a gene has any count in any sample."""
        return np.asarray(self.counts.any(axis=0), dtype=np.bool_)

    @property
    def library_sizes(self) -> IntArray:
        """[S] total count of each sample."""
        return np.asarray(self.counts.sum(axis=1), dtype=np.int64)

    def subset_genes(self, which: Sequence[str] | ArrayLike) -> CountData:
        """Keep some genes, in the order given.

        Parameters
        ----------
        which
            Gene names, or a [G] mask, or positions.

        Raises
        ------
        CountsError
            A name is not in the table, or nothing is left.
        """
        chosen = np.asarray(which)
        if chosen.dtype.kind in "USOT":
            position = {gene: index for index, gene in enumerate(self.genes)}
            unknown = [str(gene) for gene in chosen if str(gene) not in position]
            if unknown:
                raise CountsError(f"genes to keep must be in the count table; {listed(unknown)} are not.")
            index = np.array([position[str(gene)] for gene in chosen], dtype=np.intp)
        else:
            index = np.arange(len(self.genes))[chosen]
        return replace(
            self,
            counts=self.counts[:, index],
            genes=tuple(self.genes[i] for i in index),
            lengths=None if self.lengths is None else self.lengths[:, index],
            assignment_variance=None if self.assignment_variance is None else self.assignment_variance[:, index],
        )

    @classmethod
    def from_frame(cls, counts: pd.DataFrame, samples: pd.DataFrame, lengths: FloatArray | None = None) -> CountData:
        """Build from two data frames.

        Parameters
        ----------
        counts
            genes x samples or samples x genes: which, is decided by matching the names of its index and its columns
            to the index of `samples`.
        samples
            Indexed by sample name; the order of samples is taken from here.
        lengths
            Optional [S, G] effective lengths, in the order of the result.

        Raises
        ------
        CountsError
            Names match neither or both ways, or not one to one; or the counts break a rule.
        """
        names = checked_names(list(samples.index), "sample", "the sample table")
        rows = checked_names(list(counts.index), "row", "the count table")
        columns = checked_names(list(counts.columns), "column", "the count table")
        by_column, order = match_samples(rows, columns, names)
        values = counts.to_numpy()
        values = values[:, order].T if by_column else values[order]
        return cls(values, rows if by_column else columns, names, samples, lengths)

    @classmethod
    def from_anndata(
        cls, adata: anndata.AnnData, layer: str | None = None, samples: pd.DataFrame | None = None
    ) -> CountData:
        """Build from an AnnData object: `X` or a layer is the counts, `obs` the sample table.

        Parameters
        ----------
        adata
            Observations are samples (or cells), variables are genes.
        layer
            Layer that holds raw counts, if `X` does not.
        samples
            Sample table to use instead of `obs`; its order is kept.

        Raises
        ------
        CountsError
            The layer does not exist, the names do not match, or the counts break a rule.
        """
        layers = sorted(str(name) for name in adata.layers if name is not None)
        if layer is not None and layer not in layers:
            raise CountsError(f"layer must be in the AnnData object; {layer!r} is not among {layers}.")
        values: Any = adata.X if layer is None else adata.layers[layer]
        if values is None:
            raise CountsError(f"the AnnData object has no X. Name the layer that holds counts: {layers}.")
        dense = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
        observed = checked_names(list(adata.obs_names), "sample", "obs_names")
        if samples is None:
            return cls(dense, tuple(adata.var_names), observed, adata.obs)
        names = checked_names(list(samples.index), "sample", "the sample table")
        return cls(dense[match_names(observed, names)], tuple(adata.var_names), names, samples)


def match_names(found: Sequence[str], wanted: Sequence[str], source: str = "the count table") -> NDArray[np.intp]:
    """Return the position in `found` of each name of the sample table `wanted`.

    Raises
    ------
    CountsError
        A name is in one of the two only; the message lists them.
    """
    position = {canonical(name): index for index, name in enumerate(found)}
    missing = [name for name in wanted if canonical(name) not in position]
    known = {canonical(name) for name in wanted}
    extra = [name for name in found if canonical(name) not in known]
    if missing or extra:
        parts = []
        if missing:
            parts.append(f"{listed(missing)} of the sample table are not in {source}")
        if extra:
            parts.append(f"{listed(extra)} of {source} are not in the sample table")
        raise CountsError(
            f"the samples of {source} and of the sample table must be the same; {'; '.join(parts)}. Add or remove "
            "them on one side."
        )
    return np.array([position[canonical(name)] for name in wanted], dtype=np.intp)


def match_samples(rows: Sequence[str], columns: Sequence[str], samples: Sequence[str]) -> tuple[bool, NDArray[np.intp]]:
    """Decide by name whether samples are the columns or the rows of a table.

    Returns
    -------
    by_column
        True for genes x samples.
    order
        [S] position of each sample along that side.

    Raises
    ------
    CountsError
        Neither side matches the sample table, or both do.
    """
    wanted = {canonical(name): name for name in samples}
    of_columns, of_rows = ({wanted.get(canonical(name)) for name in side} - {None} for side in (columns, rows))
    in_columns, in_rows = len(of_columns), len(of_rows)
    if in_columns and in_rows:
        both = [name for name in samples if name in of_columns & of_rows] or list(samples)
        raise CountsError(
            f"sample names must be either the columns or the rows of the count table; {in_columns} of "
            f"{len(samples)} are columns and {in_rows} are rows (for example {listed(both, 2)}). Rename the genes "
            "or the samples."
        )
    if not in_columns and not in_rows:
        raise CountsError(
            "sample names must be the columns or the rows of the count table; the sample table has "
            f"{listed(samples, 3)}, the columns are {listed(columns, 3)}, the rows {listed(rows, 3)}. The first "
            "column of the sample table must hold the sample names."
        )
    return bool(in_columns), match_names(columns if in_columns else rows, samples)


def _checked_counts(values: ArrayLike, genes: tuple[str, ...], samples: tuple[str, ...]) -> IntArray:
    array = np.asarray(values)
    if array.shape != (len(samples), len(genes)):
        raise CountsError(
            f"counts must be samples x genes; there are {len(samples)} sample and {len(genes)} gene names but the "
            f"array has shape {array.shape}."
        )
    if len(genes) < 1:
        raise CountsError("there must be at least one gene; the count table has none.")
    if len(samples) < 2:
        raise CountsError(f"there must be at least two samples; the count table has {len(samples)}.")
    if array.dtype.kind not in "iuf":
        # Also bool and str, which NumPy would convert without a word.
        kinds = [type(value).__name__ for value in array.flat if isinstance(value, bool | str | np.bool_ | type(None))]
        if array.dtype.kind != "O" or kinds:
            found = kinds[0] if kinds else str(array.dtype)
            raise CountsError(f"counts must be numbers; the table holds values of type {found}. {RAW}")
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise CountsError(f"counts must be numbers; the table holds something else ({error}). {RAW}") from None
    bad = (array < 0) | (array > LARGEST_COUNT)
    if array.dtype.kind == "f":
        bad |= ~np.isfinite(array) | (array != np.floor(array))
    if bad.any():
        sample, gene = np.argwhere(bad)[0]
        raise CountsError(
            f"counts must be whole numbers from 0 to {LARGEST_COUNT}; gene {genes[gene]!r}, sample "
            f"{samples[sample]!r} is {array[sample, gene]} ({bad.sum()} such "
            f"{'entry' if bad.sum() == 1 else 'entries'}). {RAW}"
        )
    counts = np.array(array, dtype=np.int64, order="C")
    empty = ~counts.any(axis=1)
    if empty.any():
        names = [samples[index] for index in np.flatnonzero(empty)]
        raise CountsError(f"every sample must have at least one count; {listed(names)} {_have(names)} none. Remove it.")
    return counts


def _have(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"


def _checked_sample_table(table: pd.DataFrame, samples: tuple[str, ...]) -> pd.DataFrame:
    index = checked_names(list(table.index), "sample", "the sample table")
    if index != samples:
        match_names(samples, index)
        raise CountsError("the rows of the sample table must be in the order of the samples of the count table.")
    columns = checked_names(list(table.columns), "column", "the sample table")
    result = table.copy()
    result.index = pd.Index(index, name=table.index.name)
    result.columns = pd.Index(columns)
    return result


def _checked_lengths(values: ArrayLike, genes: tuple[str, ...], samples: tuple[str, ...]) -> FloatArray:
    lengths = np.array(values, dtype=np.float64)
    if lengths.shape != (len(samples), len(genes)):
        raise CountsError(
            f"lengths must be samples x genes, {(len(samples), len(genes))}; the array has shape {lengths.shape}."
        )
    bad = ~(np.isfinite(lengths) & (lengths > 0))
    if bad.any():
        sample, gene = np.argwhere(bad)[0]
        raise CountsError(
            f"effective lengths must be positive numbers; gene {genes[gene]!r}, sample {samples[sample]!r} is "
            f"{lengths[sample, gene]} ({bad.sum()} such entries). Give the length in nucleotides."
        )
    return lengths


def _checked_variance(values: ArrayLike, genes: tuple[str, ...], samples: tuple[str, ...]) -> FloatArray:
    variance = np.array(values, dtype=np.float64)
    if variance.shape != (len(samples), len(genes)):
        raise CountsError(
            f"the variance of assignment must be samples x genes, {(len(samples), len(genes))}; the array has shape "
            f"{variance.shape}."
        )
    bad = ~np.isfinite(variance)
    if bad.any():
        sample, gene = np.argwhere(bad)[0]
        raise CountsError(
            f"variances of assignment must be finite; gene {genes[gene]!r}, sample {samples[sample]!r} is "
            f"{variance[sample, gene]} ({bad.sum()} such entries). Leave the whole array out where it is not known."
        )
    return variance
