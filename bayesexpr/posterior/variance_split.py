"""What makes a log fold change unsure: counting, assigning fragments to genes, biology, or the depth of the samples.

A count of mean mu and dispersion d has, on the log scale, a variance of about 1 / mu + d (delta method). Where the
quantification left inferential replicates, a gene's count has over them a variance of (1 + r) mu, mu from counting and
r mu from not knowing where fragments came from: r is pooled over the gene's samples. The dispersion, which is learned
from how counts vary between samples, holds that doubt as well as biology, so r / mu is taken out of it:

    1 / mu (sampling)  +  r / mu (read assignment)  +  max(d - r / mu, 0) (biology)

A contrast is a weighted sum over samples of log counts; the weights are those of generalised least squares,
w = V^-1 X (X' V^-1 X)^-1 c with V the diagonal of these sums, for design X and contrast c. Its variance is sum w^2 V,
part by part, and w' Cov(log f) w (normalisation) with the posterior covariance of the log size factors f. This is the
variance of the estimate before shrinkage: prior and spike make the posterior narrower, the shares stay what they are.
Where r / mu exceeds d, the replicates of the quantification differ more than the samples do: then the posterior, which
is of the counts as they are given, is too sure of that gene. A table of counts does not say how large r is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesexpr.names import to_log2

PARTS = ("biology", "read_assignment", "sampling", "normalisation")

ASSIGNMENT = "read_assignment"
"""The part that only inferential replicates tell; missing (NaN) without them."""

_Floats = NDArray[np.float64]


def fitted_means(counts: NDArray[np.int64], factors: _Floats, design: _Floats) -> _Floats:
    """Fit mean counts [sample, gene] by least squares on log(count / factor + 1/2).

    Parameters
    ----------
    counts : array [sample, gene]
    factors : array [sample] or [sample, gene]
        Size factors, times relative effective lengths where there are any.
    design : array [sample, coefficient]
    """
    scale = factors[:, None] if factors.ndim == 1 else factors
    logs = np.log(counts / scale + 0.5)
    return np.asarray(np.exp(design @ (np.linalg.pinv(design) @ logs)) * scale)


def pooled_excess(assignment_variance: _Floats, counts: NDArray[np.int64]) -> _Floats:
    """Return r [gene]: the variance that assigning fragments adds, over the counts, pooled over samples; at least 0.

    Parameters
    ----------
    assignment_variance : array [sample, gene]
        Of :class:`bayesexpr.CountData`.
    counts : array [sample, gene]
    """
    excess = np.maximum(assignment_variance.sum(axis=0), 0.0)
    return np.asarray(excess / np.maximum(counts.sum(axis=0), 1), dtype=np.float64)


def split_variance(
    means: _Floats,
    dispersion: _Floats,
    design: _Floats,
    contrast: _Floats,
    log_factors: _Floats | None = None,
    excess: _Floats | None = None,
) -> dict[str, _Floats]:
    """Split the variance of every gene's log2 fold change.

    Parameters
    ----------
    means : array [sample, gene]
        Mean counts.
    dispersion : array [gene]
    design : array [sample, coefficient]
    contrast : array [coefficient]
    log_factors : array [draw, sample], optional
        Draws of the log size factors; none where they are taken as known.
    excess : array [gene], optional
        Of :func:`pooled_excess`; none where it is not known.

    Returns
    -------
    dict of arrays [gene]
        Of `PARTS`, squared log2 fold changes.
    """
    sampling = 1.0 / means.T
    assignment = sampling * (np.zeros(len(sampling)) if excess is None else excess)[:, None]
    biology = np.maximum(dispersion[:, None] - assignment, 0.0)
    precision = 1.0 / (sampling + assignment + biology)
    information = np.einsum("sk,gs,sl->gkl", design, precision, design)
    weights = precision * (np.linalg.pinv(information) @ contrast @ design.T)
    S = len(design)
    spread = np.zeros((S, S)) if log_factors is None else np.cov(log_factors, rowvar=False).reshape(S, S)
    sums = [(weights**2 * part).sum(axis=1) for part in (biology, assignment, sampling)]
    if excess is None:
        sums[1] = np.full(len(sampling), np.nan)
    depth = np.maximum(np.einsum("gs,st,gt->g", weights, spread, weights), 0.0)
    return {name: to_log2(1.0) ** 2 * part for name, part in zip(PARTS, (*sums, depth), strict=True)}
