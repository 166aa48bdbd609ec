"""What makes a log fold change unsure: counting, biology, or not knowing the depth of the samples.

A count of mean mu and dispersion d has, on the log scale, a variance of about 1 / mu from counting and d from biology
(delta method). A contrast is a weighted sum over samples of log counts; the weights are those of generalised least
squares, w = V^-1 X (X' V^-1 X)^-1 c with V = diag(1 / mu + d), for design X and contrast c. Its variance is then

    sum w^2 / mu  (sampling)  +  sum w^2 d  (biology)  +  w' Cov(log f) w  (normalisation)

with the posterior covariance of the log size factors f. This is the variance of the estimate before shrinkage: prior
and spike make the posterior narrower, the shares stay what they are. How fragments were assigned to genes is taken as
known; a table of counts does not say how sure that was.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesexpr.names import to_log2

PARTS = ("biology", "sampling", "normalisation")

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


def split_variance(
    means: _Floats, dispersion: _Floats, design: _Floats, contrast: _Floats, log_factors: _Floats | None = None
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

    Returns
    -------
    dict of arrays [gene]
        Of `PARTS`, squared log2 fold changes.
    """
    sampling = 1.0 / means.T
    biology = np.broadcast_to(dispersion[:, None], sampling.shape)
    precision = 1.0 / (sampling + biology)
    information = np.einsum("sk,gs,sl->gkl", design, precision, design)
    weights = precision * (np.linalg.pinv(information) @ contrast @ design.T)
    S = len(design)
    spread = np.zeros((S, S)) if log_factors is None else np.cov(log_factors, rowvar=False).reshape(S, S)
    parts = (weights**2 * biology).sum(axis=1), (weights**2 * sampling).sum(axis=1)
    known = np.maximum(np.einsum("gs,st,gt->g", weights, spread, weights), 0.0)
    squared = to_log2(1.0) ** 2
    return dict(zip(PARTS, (squared * parts[0], squared * parts[1], squared * known), strict=True))
