"""NumPy twins of the densities that the Stan programs use.

Each function is written from the formula, not from Stan's code, so that the two can be held against each other.
Arguments broadcast; logarithms are natural; constants are kept.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Float = NDArray[np.float64]


def poisson_logpmf(y: ArrayLike, mu: ArrayLike) -> Float:
    """Log mass of the Poisson distribution with mean `mu`."""
    y, mu = np.asarray(y, dtype=float), np.asarray(mu, dtype=float)
    return np.asarray(special.xlogy(y, mu) - mu - special.gammaln(y + 1))


def log_rising_factorial(y: ArrayLike, phi: ArrayLike) -> Float:
    r"""Stable :math:`\log\{\Gamma(y + \phi) / (\Gamma(\phi)\,\phi^y)\}` for y >= 0 and any phi > 0.

    The plain difference of log-gammas cancels for large phi. Above 100 the difference of the two Stirling series is
    taken term by term instead: its largest term is (phi + y - 1/2) log1p(y / phi) - y, which does not cancel when
    written with :func:`_log1p_minus_x`.
    """
    y, phi = np.broadcast_arrays(np.asarray(y, dtype=float), np.asarray(phi, dtype=float))
    large = phi > 100.0
    small_phi = np.where(large, 1.0, phi)
    plain = special.gammaln(y + small_phi) - special.gammaln(small_phi) - y * np.log(small_phi)
    big = np.where(large, phi, 1e3)
    x = y / big
    top = big + y
    series = (1 / top - 1 / big) / 12 - (top**-3 - big**-3) / 360 + (top**-5 - big**-5) / 1260
    stirling = big * _log1p_minus_x(x) + (y - 0.5) * np.log1p(x) + series
    return np.asarray(np.where(large, stirling, plain))


def _log1p_minus_x(x: Float) -> Float:
    """Return log(1 + x) - x without cancellation for small x >= 0 (seven terms of the series below 0.01)."""
    tiny = x < 1e-2
    t = np.where(tiny, x, 0.0)
    series = -(t**2) * (1 / 2 - t * (1 / 3 - t * (1 / 4 - t * (1 / 5 - t * (1 / 6 - t * (1 / 7 - t / 8))))))
    return np.asarray(np.where(tiny, series, np.log1p(x) - x))


def trigamma(x: ArrayLike) -> Float:
    """Second derivative of log-gamma for x > 0, to 1e-12 relative: seven steps of its recurrence, then its series.

    Several times as fast on arrays as the zeta function that SciPy's ``polygamma`` goes through.
    """
    x = np.asarray(x, dtype=float)
    total = sum(1.0 / (x + k) ** 2 for k in range(7))
    r = 1.0 / (x + 7)
    s = r * r
    series = s * (1 / 6 - s * (1 / 30 - s * (1 / 42 - s * (1 / 30 - s * (5 / 66 - s * 691 / 2730)))))
    return np.asarray(total + r * (1 + 0.5 * r + series))


def nb2_logpmf(y: ArrayLike, mu: ArrayLike, phi: ArrayLike) -> Float:
    r"""Log mass of the negative binomial with mean `mu` and variance :math:`\mu + \mu^2 / \phi`.

    Written so that it goes over into the Poisson as phi grows, without cancellation:
    :math:`\log\frac{\Gamma(y+\phi)}{\Gamma(\phi)\phi^y} + y\log\mu - \log y! - (y+\phi)\log(1+\mu/\phi)`.

    Parameters
    ----------
    y, mu, phi
        Counts, means and precisions; broadcast together. ``1 / phi`` is the dispersion.
    """
    y, mu, phi = (np.asarray(a, dtype=float) for a in (y, mu, phi))
    ratio = mu / phi
    return np.asarray(
        log_rising_factorial(y, phi)
        + special.xlogy(y, mu)
        - special.gammaln(y + 1)
        - y * np.log1p(ratio)
        - phi * np.log1p(ratio)
    )


def nb2_rng(mu: ArrayLike, phi: ArrayLike, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw negative binomial counts by their gamma mixture of Poissons; shapes broadcast."""
    mu, phi = np.broadcast_arrays(np.asarray(mu, dtype=float), np.asarray(phi, dtype=float))
    return rng.poisson(rng.gamma(phi, mu / phi))


def normal_logpdf(x: ArrayLike, mean: ArrayLike, sd: ArrayLike) -> Float:
    """Log density of the normal distribution."""
    x, mean, sd = (np.asarray(a, dtype=float) for a in (x, mean, sd))
    return np.asarray(-0.5 * ((x - mean) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi))


def spherical_student_t_logpdf(d: Float, nu: float) -> Float:
    """Log density of a spherical multivariate Student-t over the last axis of `d`.

    Kotz and Nadarajah (2004), Multivariate t Distributions, equation 1.1 with the identity as its scale.
    """
    k = d.shape[-1]
    r2 = np.sum(d**2, axis=-1)
    constant = special.gammaln((nu + k) / 2) - special.gammaln(nu / 2) - k / 2 * np.log(nu * np.pi)
    return np.asarray(constant - (nu + k) / 2 * np.log1p(r2 / nu))


@lru_cache(maxsize=32)
def sum_to_zero_basis(size: int) -> Float:
    """Orthonormal basis [size, size - 1] of the vectors that sum to zero (Helmert).

    Column k sets element k + 1 against the mean of those before it. The array is shared: it is read-only.
    """
    basis = np.zeros((size, size - 1))
    for k in range(1, size):
        basis[:k, k - 1] = -1 / np.sqrt(k * (k + 1))
        basis[k, k - 1] = k / np.sqrt(k * (k + 1))
    basis.flags.writeable = False
    return basis


def stirling_error(n: ArrayLike) -> Float:
    r"""Return :math:`\log n! - \log\{\sqrt{2\pi n}\,(n/e)^n\}` for n > 0, to machine precision.

    Loader (2000), Fast and Accurate Computation of Binomial Probabilities: the series from n = 16 on, the plain
    difference (which does not cancel there) below.
    """
    n = np.asarray(n, dtype=float)
    large = n >= 16.0
    x, y = np.where(large, n, 1e3), np.where(large, 1.0, n)
    series = (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / (1188 * x**2)) / x**2) / x**2) / x**2) / x
    plain = special.gammaln(y + 1) - (y + 0.5) * np.log(y) + y - 0.5 * np.log(2 * np.pi)
    return np.asarray(np.where(large, series, plain))


def deviance_part(x: ArrayLike, mean: ArrayLike) -> Float:
    """Return x log(x / mean) + mean - x, for x >= 0 and mean > 0, without cancellation where the two are close.

    Near x = mean it is summed as the series of Loader (2000) in v = (x - mean) / (x + mean).
    """
    x, mean = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(mean, dtype=float))
    difference = x - mean
    close = np.abs(difference) < 0.1 * (x + mean)
    v = np.where(close, difference / (x + mean), 0.0)
    odd = np.arange(3, 23, 2)
    series = difference * v + 2 * x * np.sum(v[..., None] ** odd / odd, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        plain = special.xlogy(x, x) - special.xlogy(x, mean) - difference
    return np.asarray(np.where(close, series, plain))


def binomial_logit_logpmf(k: ArrayLike, n: ArrayLike, logit: ArrayLike) -> Float:
    """Log mass of the binomial at log odds `logit`: saddle-point form of Loader (2000), exact at k = 0 and k = n."""
    k, n, logit = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (k, n, logit)))
    log_p, log_q = special.log_expit(logit), special.log_expit(-logit)
    inside = (k > 0) & (k < n)
    a, b = np.where(inside, k, 1.0), np.where(inside, n - k, 1.0)
    total = a + b
    # deviance parts against n p and n q; where p is beyond what a float holds, its logarithm is used
    tiny = np.minimum(log_p, log_q) < -700.0
    p, q = np.where(tiny, 0.5, np.exp(log_p)), np.where(tiny, 0.5, np.exp(log_q))
    deviance = deviance_part(a, total * p) + deviance_part(b, total * q)
    far = a * (np.log(a / total) - log_p) + b * (np.log(b / total) - log_q)
    constant = stirling_error(total) - stirling_error(a) - stirling_error(b)
    constant = constant + 0.5 * (np.log(total) - np.log(2 * np.pi) - np.log(a) - np.log(b))
    edge = np.where(k > 0, n * log_p, n * log_q)
    return np.asarray(np.where(inside, constant - np.where(tiny, far, deviance), edge))


def dirichlet_logpdf(theta: ArrayLike, concentration: ArrayLike) -> Float:
    """Log density of the Dirichlet over the last axis."""
    theta, alpha = np.asarray(theta, dtype=float), np.asarray(concentration, dtype=float)
    constant = special.gammaln(alpha.sum(axis=-1)) - special.gammaln(alpha).sum(axis=-1)
    return np.asarray(constant + special.xlogy(alpha - 1, theta).sum(axis=-1))


def multinomial_logpmf(k: ArrayLike, theta: ArrayLike) -> Float:
    """Log mass of the multinomial with k.sum() trials over the last axis, as independent Poissons given their total."""
    k = np.asarray(k, dtype=float)
    n = k.sum(axis=-1)
    mean = n[..., None] * np.asarray(theta, dtype=float)
    return np.asarray(poisson_logpmf(k, mean).sum(axis=-1) - poisson_logpmf(n, n))


def zinb_logpmf(y: ArrayLike, log_mu: ArrayLike, phi: ArrayLike, logit_pi: ArrayLike) -> Float:
    """Log mass of the zero-inflated negative binomial: a structural zero with probability pi, else NB2."""
    y, log_mu = np.asarray(y, dtype=float), np.asarray(log_mu, dtype=float)
    phi, logit_pi = np.asarray(phi, dtype=float), np.asarray(logit_pi, dtype=float)
    counted = special.log_expit(-logit_pi) + nb2_logpmf(y, np.exp(log_mu), phi)
    return np.asarray(np.where(y == 0, np.logaddexp(special.log_expit(logit_pi), counted), counted))


def log_gamma_variate(shape: ArrayLike, rng: np.random.Generator) -> Float:
    """Logarithm of gamma variates of unit rate, without underflow at small shapes.

    Gamma(a) is Gamma(a + 1) U^(1/a) with U uniform; the logarithm is taken term by term.
    """
    shape = np.asarray(shape, dtype=float)
    return np.asarray(np.log(rng.gamma(shape + 1.0)) + np.log(rng.uniform(size=np.shape(shape))) / shape)
