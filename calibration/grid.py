"""Exact posteriors of genes counted in two groups of samples, on a grid that finds its own place.

y[s] ~ NB2(exp(alpha + beta x[s] + offset[s]), phi) with normal priors on alpha, beta and log phi. In the coordinates
(eta1, eta2, log phi), eta being the log mean of a group, the likelihood is a product of two tables, so the posterior
of a gene is a sum of two small arrays. The grid is placed anew a few times around what holds the posterior's mass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesexpr.distributions import log_rising_factorial

from .ranks import Floats

Ints = NDArray[np.int64]
POINTS = 24
_ZOOMS = 5
_DEPTH = 15.0  # log density below the mode at which the grid ends: 5.5 sd of a normal
_START = ((-4.0, 12.0), (-4.0, 12.0), (-3.5, 7.0))


@dataclass(frozen=True)
class TwoGroups:
    """What the inference believes; each field is where an error can be planted.

    Attributes
    ----------
    x
        Value of the design in each group.
    group
        [S] 0 or 1: the group of each sample.
    weight
        [S]: how often each sample counts.
    likelihood
        ``nb``, ``poisson``, ``inverse_phi`` (phi and its inverse exchanged) or ``none``.
    alpha, beta, log_phi
        Mean and sd of the normal priors.
    log_phi_power
        Added to the log density, times log phi: -1 where the Jacobian of the logarithm is missing.
    """

    x: tuple[float, float] = (1.0, -1.0)
    group: tuple[int, ...] = (0, 0, 0, 1, 1, 1)
    weight: tuple[float, ...] = (1.0,) * 6
    likelihood: str = "nb"
    alpha: tuple[float, float] = (4.0, 1.0)
    beta: tuple[float, float] = (0.0, 0.7)
    log_phi: tuple[float, float] = (float(np.log(5.0)), 0.8)
    log_phi_power: float = 0.0

    def coefficients(self, eta1: Floats, eta2: Floats) -> tuple[Floats, Floats]:
        """Give (alpha, beta) of the log means of the two groups."""
        beta = (eta1 - eta2) / (self.x[0] - self.x[1])
        return eta1 - self.x[0] * beta, beta

    def log_prior(self, eta1: Floats, eta2: Floats, log_phi: Floats) -> Floats:
        """Log prior density up to a constant; arguments broadcast."""
        alpha, beta = self.coefficients(eta1, eta2)
        out = np.zeros(())
        for value, (mean, sd) in ((alpha, self.alpha), (beta, self.beta), (log_phi, self.log_phi)):
            out = out - 0.5 * ((value - mean) / sd) ** 2
        return np.asarray(out + self.log_phi_power * log_phi)

    def group_log_lik(self, g: int, count: Ints, offset: Floats, eta: Floats, log_phi: Floats) -> Floats:
        """Log likelihood [gene, eta, log phi] of one group's samples, up to a constant.

        Parameters
        ----------
        count
            [S, gene].
        offset
            [S].
        eta, log_phi
            [gene, point] each.
        """
        total = np.zeros((*eta.shape, log_phi.shape[1]))
        if self.likelihood == "none":
            return total
        phi = np.exp(-log_phi if self.likelihood == "inverse_phi" else log_phi)
        for s in np.flatnonzero(np.asarray(self.group) == g):
            y, shifted = count[s][:, None, None], eta + offset[s]
            if self.likelihood == "poisson":
                term = (y[..., 0] * shifted - np.exp(shifted))[..., None]
            else:
                rising = log_rising_factorial(count[s][:, None], phi)[:, None, :]
                ratio = np.exp(shifted)[:, :, None] / phi[:, None, :]
                term = rising + y * shifted[:, :, None] - (y + phi[:, None, :]) * np.log1p(ratio)
            total += self.weight[s] * term
        return total


@dataclass(frozen=True)
class Grid:
    """Posterior of several genes on their grids.

    Attributes
    ----------
    axes
        Three arrays [gene, point]: eta1, eta2, log phi.
    log_density
        [gene, point, point, point], not normalised.
    """

    axes: tuple[Floats, Floats, Floats]
    log_density: Floats

    def draw(self, size: int, rng: np.random.Generator) -> Floats:
        """Draws [draw, gene, 3]: a cell in proportion to its density, then a place in it.

        The spread within cells would widen each margin; draws are drawn together by as much.
        """
        genes, points = self.axes[0].shape
        p = np.exp(self.log_density - self.log_density.max(axis=(1, 2, 3), keepdims=True)).reshape(genes, -1)
        cumulative = np.cumsum(p, axis=1)
        out = np.empty((size, genes, 3))
        for gene in range(genes):
            u = rng.random(size) * cumulative[gene, -1]
            cells = np.minimum(np.searchsorted(cumulative[gene], u, side="right"), points**3 - 1)
            for k, places in enumerate(np.unravel_index(cells, (points,) * 3)):
                axis = self.axes[k][gene]
                margin = p[gene].reshape((points,) * 3).sum(axis=tuple(j for j in range(3) if j != k))
                margin = margin / margin.sum()
                mean = float(margin @ axis)
                variance = float(margin @ (axis - mean) ** 2)
                step = float(axis[1] - axis[0])
                values = axis[places] + step * (rng.random(size) - 0.5)
                out[:, gene, k] = mean + (values - mean) / np.sqrt(1.0 + step**2 / 12.0 / max(variance, 1e-300))
        return out


def solve(belief: TwoGroups, count: Ints, offset: Floats, points: int = POINTS) -> Grid:
    """Posterior of every gene.

    Parameters
    ----------
    count
        [S, gene].
    offset
        [S] natural logarithms.
    """
    genes = count.shape[1]
    low = np.array([[a for a, _ in _START]] * genes)
    high = np.array([[b for _, b in _START]] * genes)
    for zoom in range(_ZOOMS + 1):
        axes = tuple(np.linspace(low[:, k], high[:, k], points, axis=1) for k in range(3))
        density = _density(belief, count, offset, (axes[0], axes[1], axes[2]))
        if zoom == _ZOOMS:
            break
        limit = density.max(axis=(1, 2, 3)) - _DEPTH
        for k in range(3):
            profile = density.max(axis=tuple(j + 1 for j in range(3) if j != k))
            inside = profile >= limit[:, None]
            first, last = inside.argmax(axis=1), points - 1 - inside[:, ::-1].argmax(axis=1)
            rows = np.arange(genes)
            low[:, k] = axes[k][rows, np.maximum(first - 1, 0)]
            high[:, k] = axes[k][rows, np.minimum(last + 1, points - 1)]
    return Grid((axes[0], axes[1], axes[2]), density)


def laplace(belief: TwoGroups, count: Ints, offset: Floats) -> tuple[Floats, Floats]:
    """Modes [gene, 3] and precisions [gene, 3, 3] in (alpha, beta, log phi), by Newton's method from the grid."""
    grid = solve(belief, count, offset)
    genes = count.shape[1]
    places = np.unravel_index(grid.log_density.reshape(genes, -1).argmax(axis=1), grid.log_density.shape[1:])
    at = np.stack([grid.axes[k][np.arange(genes), places[k]] for k in range(3)], axis=1)

    def value(x: Floats) -> Floats:
        axes = (x[:, :1], x[:, 1:2], x[:, 2:])
        return _density(belief, count, offset, axes)[:, 0, 0, 0]

    for _ in range(6):
        gradient, hessian = _derivatives(value, at)
        at = at - np.linalg.solve(hessian, gradient[..., None])[..., 0]
    hessian = _derivatives(value, at)[1]
    x1, x2 = belief.x
    to_eta = np.array([[1.0, x1, 0.0], [1.0, x2, 0.0], [0.0, 0.0, 1.0]])
    alpha, beta = belief.coefficients(at[:, 0], at[:, 1])
    return np.stack([alpha, beta, at[:, 2]], axis=1), -(to_eta.T @ hessian @ to_eta)


def _density(belief: TwoGroups, count: Ints, offset: Floats, axes: tuple[Floats, Floats, Floats]) -> Floats:
    one, two = (belief.group_log_lik(g, count, offset, axes[g], axes[2]) for g in (0, 1))
    prior = belief.log_prior(axes[0][:, :, None, None], axes[1][:, None, :, None], axes[2][:, None, None, :])
    return np.asarray(one[:, :, None, :] + two[:, None, :, :] + prior)


def _derivatives(value: Callable[[Floats], Floats], at: Floats, step: float = 1e-3) -> tuple[Floats, Floats]:
    """Gradient [gene, 3] and Hessian [gene, 3, 3] by central differences."""
    genes = len(at)
    unit = step * np.eye(3)
    plus, minus = [value(at + u) for u in unit], [value(at - u) for u in unit]
    centre = value(at)
    gradient = np.stack([(a - b) / (2 * step) for a, b in zip(plus, minus, strict=True)], axis=1)
    hessian = np.empty((genes, 3, 3))
    for i in range(3):
        hessian[:, i, i] = (plus[i] + minus[i] - 2 * centre) / step**2
        for j in range(i):
            both = value(at + unit[i] + unit[j]) + value(at - unit[i] - unit[j])
            mixed = value(at + unit[i] - unit[j]) + value(at - unit[i] + unit[j])
            hessian[:, i, j] = hessian[:, j, i] = (both - mixed) / (4 * step**2)
    return gradient, hessian
