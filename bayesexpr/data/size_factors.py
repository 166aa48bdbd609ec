"""Size factors: how deeply each sample was sequenced, relative to the others.

A size factor multiplies the expected counts of a sample. All methods return them with geometric mean 1 and ignore
genes without any count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import CountsError, OptionError
from .counts import match_names
from .identifiers import checked_names, listed
from .tables import read_table

FloatArray = NDArray[np.float64]


def median_of_ratios(counts: ArrayLike) -> FloatArray:
    """Return the median over genes of a sample's ratio to the geometric mean of all samples.

    Anders and Huber (2010), *Genome Biology* 11:R106. Only genes with a count in every sample have a geometric
    mean. Where there is none (sparse data), the positive counts of a gene stand for it: the S-th root of their
    product, S being the number of all samples, and each sample's median is over the genes that it counts.

    Parameters
    ----------
    counts
        [S, G] non-negative.

    Returns
    -------
    numpy.ndarray
        [S], geometric mean 1.
    """
    values = _expressed(counts)
    everywhere = (values > 0).all(axis=0)
    if everywhere.any():
        logs = np.log(values[:, everywhere])
        return _centred(np.median(logs - logs.mean(axis=0), axis=1))
    positive = values > 0
    logs = np.log(np.where(positive, values, 1.0))
    ratios = logs - logs.mean(axis=0)
    return _centred(np.array([np.median(row[own]) for row, own in zip(ratios, positive, strict=True)]))


def tmm(counts: ArrayLike, trim_ratio: float = 0.3, trim_abundance: float = 0.05) -> FloatArray:
    """Return library sizes times the trimmed mean of M-values against a reference sample.

    Robinson and Oshlack (2010), *Genome Biology* 11:R25. The reference is the sample whose upper quartile of
    relative counts is nearest the mean of all. Of the genes counted in both, M = log2 ratio and A = mean log2 of
    the relative counts; the extreme 30 % of M and 5 % of A on either side are left out, and the mean of M is
    weighted by the inverse of its delta-method variance under binomial sampling.

    Parameters
    ----------
    counts
        [S, G] non-negative.
    trim_ratio, trim_abundance
        Shares cut off at each end of M and of A.

    Returns
    -------
    numpy.ndarray
        [S], geometric mean 1.

    Raises
    ------
    CountsError
        A sample shares no gene with the reference after trimming.
    """
    values = _expressed(counts)
    sizes = values.sum(axis=1)
    quartiles = np.quantile(values, 0.75, axis=1) / sizes
    if np.median(quartiles) > 0:
        reference = int(np.argmin(np.abs(quartiles - quartiles.mean())))
    else:
        # Most samples have no upper quartile; the one with most detected counts is the least empty.
        reference = int(np.argmax(np.sqrt(values).sum(axis=1)))
    factors = [
        _trimmed_mean(
            values[sample], values[reference], sizes[sample], sizes[reference], trim_ratio, trim_abundance, sample
        )
        for sample in range(len(values))
    ]
    return _centred(np.log(sizes) + np.array(factors) * np.log(2.0))


def _trimmed_mean(
    own: FloatArray,
    reference: FloatArray,
    own_size: float,
    reference_size: float,
    trim_ratio: float,
    trim_abundance: float,
    sample: int,
) -> float:
    """Return the weighted trimmed mean of M of one sample, in log2."""
    both = (own > 0) & (reference > 0)
    own_share, reference_share = own[both] / own_size, reference[both] / reference_size
    ratio = np.log2(own_share / reference_share)
    if len(ratio) and np.abs(ratio).max() < 1e-6:
        return 0.0
    abundance = 0.5 * (np.log2(own_share) + np.log2(reference_share))
    kept = _inner(ratio, trim_ratio) & _inner(abundance, trim_abundance)
    if not kept.any():
        raise CountsError(
            f"TMM needs genes that a sample shares with the reference; sample {sample + 1} has none left of "
            f"{int(both.sum())} after trimming. Use median_of_ratios or total."
        )
    variance = (1.0 - own_share[kept]) / own[both][kept] + (1.0 - reference_share[kept]) / reference[both][kept]
    return float((ratio[kept] / variance).sum() / (1.0 / variance).sum())


def _inner(values: FloatArray, share: float) -> NDArray[np.bool_]:
    """Tell which values lie inside after the given share is cut off at either end, by rank (ties share theirs)."""
    order = np.sort(values)
    rank = 0.5 * (np.searchsorted(order, values, "left") + 1 + np.searchsorted(order, values, "right"))
    low = np.floor(len(values) * share) + 1
    return np.asarray((rank >= low) & (rank <= len(values) + 1 - low))


def upper_quartile(counts: ArrayLike) -> FloatArray:
    """Return the 75 % quantile of each sample's counts, over genes with a count in any sample.

    Bullard et al. (2010), *BMC Bioinformatics* 11:94.

    Returns
    -------
    numpy.ndarray
        [S], geometric mean 1.

    Raises
    ------
    CountsError
        A quantile is zero: the data are too sparse.
    """
    quartiles = np.quantile(_expressed(counts), 0.75, axis=1)
    if not (quartiles > 0).all():
        empty = int(np.argmin(quartiles > 0))
        raise CountsError(
            f"the upper quartile of every sample must be positive; that of sample {empty + 1} is 0 "
            f"({int((quartiles <= 0).sum())} such samples). Use median_of_ratios or total."
        )
    return _centred(np.log(quartiles))


def total(counts: ArrayLike) -> FloatArray:
    """Return library sizes, scaled to geometric mean 1: [S]."""
    return _centred(np.log(_expressed(counts).sum(axis=1)))


def spike_in(counts: ArrayLike, mask: ArrayLike) -> FloatArray:
    """Return total counts of the spiked standards, added in the same amount to every sample.

    Under Poisson sampling the total is the maximum-likelihood estimate. Standards whose amount differs between
    samples (the two ERCC mixes) must be left out of the mask.

    Parameters
    ----------
    counts
        [S, G] non-negative.
    mask
        [G] whether a gene is a standard.

    Returns
    -------
    numpy.ndarray
        [S], geometric mean 1.

    Raises
    ------
    CountsError
        No gene is a standard, or a sample has no count of any.
    """
    values = _checked(counts)
    standards = np.asarray(mask, dtype=bool)
    if standards.shape != (values.shape[1],) or not standards.any():
        raise CountsError(
            f"the mask of spike-ins must mark at least one of {values.shape[1]} genes; it has shape "
            f"{standards.shape} and marks {int(standards.sum())}."
        )
    totals = values[:, standards].sum(axis=1)
    if not (totals > 0).all():
        raise CountsError(
            f"every sample must have counts of the spike-ins; sample {int(np.argmin(totals > 0)) + 1} has none. "
            "Use another method."
        )
    return _centred(np.log(totals))


METHODS: dict[str, Callable[[ArrayLike], FloatArray]] = {
    "median_of_ratios": median_of_ratios,
    "tmm": tmm,
    "upper_quartile": upper_quartile,
    "total": total,
}


def size_factors(
    counts: ArrayLike, method: str = "median_of_ratios", log_offset: FloatArray | None = None
) -> FloatArray:
    """Return size factors by the name of the method.

    Parameters
    ----------
    counts
        [S, G] non-negative.
    method
        ``median_of_ratios``, ``tmm``, ``upper_quartile`` or ``total``.
    log_offset
        [S, G] natural-log offsets that the model has besides (`bayesexpr.data.lengths.log_offset`); they are taken
        out of the counts first, so that differences in length are not counted twice.

    Returns
    -------
    numpy.ndarray
        [S], geometric mean 1.

    Raises
    ------
    OptionError
        There is no such method.
    """
    if method not in METHODS:
        raise OptionError(f"the method for size factors must be one of {listed(METHODS)}; found {method!r}.")
    values = _checked(counts)
    return METHODS[method](values if log_offset is None else values / np.exp(log_offset))


def read_size_factors(path: str | Path, samples: Sequence[str]) -> FloatArray:
    """Read size factors from a table of two columns, sample and factor, with a header line.

    Returns
    -------
    numpy.ndarray
        [S] in the order of `samples`, scaled to geometric mean 1.

    Raises
    ------
    CountsError
        The samples differ, or a factor is not a positive number.
    """
    table = read_table(path)
    if len(table.header) != 2:
        raise CountsError(
            f"a table of size factors must have two columns, sample and factor; {table.path} has {len(table.header)}."
        )
    names = checked_names(table.names, "sample", str(table.path))
    values = table.numbers([1])[:, 0]
    bad = ~(np.isfinite(values) & (values > 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise CountsError(
            f"size factors must be positive; sample {names[row]!r} is {values[row]} (line {table.lines[row]} of "
            f"{table.path})."
        )
    return _centred(np.log(values[match_names(names, samples, str(table.path))]))


def _checked(counts: ArrayLike) -> FloatArray:
    values = np.asarray(counts, dtype=np.float64)
    if values.ndim != 2 or not (np.isfinite(values).all() and (values >= 0).all()):
        raise CountsError(
            f"size factors are made from a samples x genes table of non-negative counts; found shape {values.shape}."
        )
    return values


def _expressed(counts: ArrayLike) -> FloatArray:
    values = _checked(counts)
    empty = ~values.any(axis=1)
    if empty.any():
        raise CountsError(f"every sample must have at least one count; sample {int(np.argmax(empty)) + 1} has none.")
    return values[:, values.any(axis=0)]


def _centred(log_factors: FloatArray) -> FloatArray:
    return np.asarray(np.exp(log_factors - log_factors.mean()), dtype=np.float64)
