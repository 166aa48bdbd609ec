"""Lengths and relative abundances: effective length, offsets, TPM, and the geometry of compositions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

FloatArray = NDArray[np.float64]


def effective_length(length: ArrayLike, fragment: float) -> FloatArray:
    """Return the number of positions at which a fragment can start: max(length - fragment + 1, 0).

    Parameters
    ----------
    length
        Transcript lengths in nucleotides, any shape.
    fragment
        Fragment (or read) length in nucleotides.
    """
    return np.maximum(np.asarray(length, dtype=np.float64) - fragment + 1.0, 0.0)


def effective_length_distribution(length: ArrayLike, probabilities: ArrayLike) -> FloatArray:
    """Return the expected number of start positions when fragment lengths vary.

    Only fragments that fit in the transcript can come from it: for a transcript of length l, ``sum_f p(f) (l - f +
    1) / sum_f p(f)`` over f <= l. Where no fragment fits, 0.

    Parameters
    ----------
    length
        Transcript lengths in nucleotides, any shape; whole numbers, rounded down if not.
    probabilities
        [F] weight of fragment length 1, 2, ..., F; need not sum to one.

    Raises
    ------
    InputError
        The weights are not non-negative numbers with a positive sum.
    """
    weights = np.asarray(probabilities, dtype=np.float64)
    if weights.ndim != 1 or not (np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
        raise InputError("weights of fragment lengths must be non-negative numbers with a positive sum.")
    sizes = np.arange(1, len(weights) + 1)
    mass = np.concatenate([[0.0], np.cumsum(weights)])
    first_moment = np.concatenate([[0.0], np.cumsum(weights * sizes)])
    whole = np.floor(np.asarray(length, dtype=np.float64))
    fitting = np.clip(whole, 0, len(weights)).astype(np.intp)
    with np.errstate(invalid="ignore", divide="ignore"):
        result = whole + 1.0 - first_moment[fitting] / mass[fitting]
    return np.where(mass[fitting] > 0, result, 0.0)


def log_offset(lengths: ArrayLike) -> FloatArray:
    """Return natural-log offsets of effective lengths, with mean zero within each gene.

    The length of a gene in itself is left to its intercept, so that exp(intercept) is the expected count in a
    sample of average length and size; what remains is how the length differs between samples.

    Parameters
    ----------
    lengths
        [S, G] positive.

    Returns
    -------
    numpy.ndarray
        [S, G].
    """
    logs = np.log(_positive(lengths, "effective lengths"))
    return np.asarray(logs - logs.mean(axis=0), dtype=np.float64)


def tpm(counts: ArrayLike, lengths: ArrayLike) -> FloatArray:
    """Return transcripts per million: counts per length, closed to a million in each sample.

    Parameters
    ----------
    counts
        [S, G] (or [G]) non-negative.
    lengths
        Of the same shape, or [G]; positive.
    """
    rate = np.asarray(counts, dtype=np.float64) / _positive(lengths, "effective lengths")
    return 1e6 * closure(rate)


def length_bias(length: ArrayLike, fragment: float) -> FloatArray:
    """Return the share of its abundance that a transcript keeps in TPM made with full lengths: 1 - fragment / length.

    The ratio of effective to full length, for lengths well above one nucleotide; 0 where no fragment fits.
    """
    return np.maximum(1.0 - fragment / _positive(length, "lengths"), 0.0)


def closure(values: ArrayLike) -> FloatArray:
    """Return a composition: non-negative values divided by their sum along the last axis.

    Raises
    ------
    InputError
        A value is negative or not finite, or a sum is zero.
    """
    array = np.asarray(values, dtype=np.float64)
    sums = array.sum(axis=-1, keepdims=True)
    if not (np.isfinite(array).all() and (array >= 0).all() and (sums > 0).all()):
        raise InputError("parts of a composition must be non-negative numbers with a positive sum.")
    return np.asarray(array / sums, dtype=np.float64)


def clr(values: ArrayLike) -> FloatArray:
    """Return the centred log-ratio: the log of each part over the geometric mean of all, along the last axis.

    Raises
    ------
    InputError
        A part is zero: replace zeros first, by adding a half for example.
    """
    logs = np.log(_positive(values, "parts of a composition"))
    return np.asarray(logs - logs.mean(axis=-1, keepdims=True), dtype=np.float64)


def aitchison_distance(first: ArrayLike, second: ArrayLike) -> FloatArray:
    """Return the Euclidean distance of the centred log-ratios, along the last axis."""
    return np.asarray(np.linalg.norm(clr(first) - clr(second), axis=-1), dtype=np.float64)


def _positive(values: ArrayLike, what: str) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    bad = ~(np.isfinite(array) & (array > 0))
    if bad.any():
        raise InputError(f"{what} must be positive numbers; found {array[bad][0]} ({int(bad.sum())} such values).")
    return array
