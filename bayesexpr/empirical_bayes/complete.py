r"""Derivatives of the genes' densities in the hyperparameters, at draws of the genes: scores and observed information.

Intercept, dispersion, effects and component of a gene are, with its counts, its complete data; given them, the counts
say nothing more of the hyperparameters but for size factors (and a common dispersion, where there is one). With s the
derivative of the log density of the complete data, and draws from the posterior,

.. math:: \nabla \log p(y_g) = E[s], \qquad
          -\nabla^2 \log p(y_g) = E[-\nabla s^\top] - E[s s^\top] + E[s] E[s]^\top

(Fisher; Louis 1982, J R Stat Soc B 44:226). The component is averaged over by its conditional probabilities. Under "no
change" the effect has its prior, and what it adds to either expression is zero: it is left out rather than averaged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesexpr.distributions import Float, sum_to_zero_basis, trigamma
from bayesexpr.empirical_bayes.laplace import Study
from bayesexpr.empirical_bayes.target import Evaluation, HyperDraws


@dataclass(frozen=True)
class PriorScores:
    """Derivatives of the log priors of some genes' complete data.

    Attributes
    ----------
    places
        [L] places in theta of the hyperparameters that only priors depend on.
    common
        [gene, L, draw] what does not depend on the component; zero elsewhere.
    slab, mixing
        Rows of the slab's and of the mixing weights' hyperparameters.
    own
        [gene, row of the slab, draw] the slab's, under a change.
    changed
        [gene, draw] conditional probability of a change.
    omega, weight
        [gene, row of the mixing, draw] conditional and [row, draw] prior probabilities of the components but the first.
    """

    places: NDArray[np.int64]
    common: Float
    slab: list[int]
    mixing: list[int]
    own: Float
    changed: Float
    omega: Float
    weight: Float

    def average(self, weight: Float) -> Float:
        """Posterior mean [gene, L] of the scores, over draws of these weights and over components."""
        mean = np.asarray((self.common @ weight[:, :, None])[:, :, 0])
        mean[:, self.slab] = (self.own @ (self.changed * weight)[:, :, None])[:, :, 0]
        if self.mixing:
            mean[:, self.mixing] = (self.omega @ weight[:, :, None])[:, :, 0] - weight @ self.weight.T
        return mean

    def under(self, component: int) -> Float:
        """Scores [gene, L, draw] under one component."""
        s = self.common.copy()
        if component or not self.mixing:
            s[:, self.slab] = self.own
        for a, row in enumerate(self.mixing):
            s[:, row] = (component == a + 1) - self.weight[a]
        return s


def prior_scores(study: Study, psi: Float, found: Evaluation, hyper: HyperDraws) -> PriorScores:
    """Differentiate the log priors of some genes.

    Parameters
    ----------
    psi
        [gene, P, draw], where `found` is their evaluation.
    hyper
        Hyperparameters of each draw.
    """
    at, h = study.at, hyper.natural
    G, _, draws = psi.shape
    trend = list(range(at.dispersion.start, at.dispersion.stop)) if at.trend else []
    slab = [*range(at.m.start, at.m.stop), at.s]
    mixing, tau = list(range(at.weight.start, at.weight.stop)), list(range(at.tau.start, at.tau.stop))
    places = np.array([0, 1, *trend, *slab, *mixing, *tau])
    row = {int(place): k for k, place in enumerate(places)}
    s = np.zeros((G, len(places), draws))

    sigma = h["sigma_alpha"]
    deviation = (found.alpha - h["mu_alpha"]) / sigma
    s[:, 0], s[:, 1] = deviation / sigma, deviation**2 - 1
    if at.trend:
        a0, a1, spread = trend
        e, scale = psi[:, 1], h["sigma_phi"]
        share = _poisson_share(found, hyper)
        pull = e / scale
        s[:, row[a0]], s[:, row[a1]] = pull * (share - 1), -pull * share
        s[:, row[spread]] = (e * e - 1) * (1 - scale / at.sigma_phi_max)
    d = psi[:, at.d]
    q, r2 = _slab_pull(study, d)
    own = np.empty((G, len(slab), draws))
    own[:, -1] = q * r2 - at.K
    for k in range(len(slab) - 1):
        own[:, k] = q * d[:, k] / h["s"]
    for column, term in enumerate(study.full["nuisance_term"]):
        s[:, row[at.tau.start + int(term)]] += psi[:, at.u.start + column] ** 2 - 1
    changed = 1 - found.probability[:, 0] if at.C > 1 else np.ones((G, draws))
    weight = h["weight"][:, 1:].T if mixing else np.empty((0, draws))
    rows = [row[place] for place in slab], [row[place] for place in mixing]
    return PriorScores(places, s, *rows, own, changed, found.probability[:, 1:], weight)


def observed_information(study: Study, psi: Float, found: Evaluation, weight: Float, hyper: HyperDraws) -> Float:
    """Observed information [H, H] of the log marginal likelihood, summed over some genes.

    Parameters
    ----------
    psi
        [gene, P, draw], where `found` is their evaluation.
    weight
        [gene, draw], each gene's summing to one.
    hyper
        Hyperparameters of each draw.
    """
    at = study.at
    prior = prior_scores(study, psi, found, hyper)
    inner = prior.places
    outer = np.concatenate([np.arange(at.v.start, at.v.stop), [] if at.trend else [at.dispersion.start]]).astype(int)
    bend = np.zeros((at.H, at.H))
    bend[np.ix_(inner, inner)] = _prior_bend(study, psi, found, prior, weight, hyper)
    mean, product = np.zeros((len(psi), at.H)), np.zeros((len(psi), at.H, at.H))
    s = np.zeros((len(psi), at.H, psi.shape[2]))
    for c in range(at.C):
        share = weight * found.probability[:, c]
        s[:, inner] = prior.under(c)
        s[:, outer], curvature = _likelihood(study, found, share, c, hyper)
        bend[np.ix_(outer, outer)] += curvature
        weighted = s * share[:, None]
        mean += weighted.sum(axis=2)
        product += weighted @ s.swapaxes(1, 2)
    # the variance of n weighted draws falls short by the sum of their squared weights
    short = 1 / np.maximum(1 - np.einsum("gs,gs->g", weight, weight), 0.5)
    return np.asarray(bend - np.einsum("g,gab->ab", short, product - mean[:, :, None] * mean[:, None, :]))


def _poisson_share(found: Evaluation, hyper: HyperDraws) -> Float:
    """Part [gene, draw] of the trend that falls with the mean count."""
    falling = hyper.natural["a1"] * np.exp(-found.alpha)
    return np.asarray(falling / (hyper.natural["a0"] + falling))


def _slab_pull(study: Study, d: Float) -> tuple[Float, Float]:
    """Weight of the slab's pull towards its centre, and the squared distance from it [gene, draw]."""
    r2 = np.einsum("gks,gks->gs", d, d)
    return (np.ones_like(r2) if study.nu is None else (study.nu + study.at.K) / (study.nu + r2)), r2


def _prior_bend(
    study: Study, psi: Float, found: Evaluation, prior: PriorScores, weight: Float, hyper: HyperDraws
) -> Float:
    """Posterior mean [L, L] of what the priors' scores fall by, summed over genes."""
    at, h = study.at, hyper.natural
    row = {int(place): k for k, place in enumerate(prior.places)}
    bend = np.zeros((len(row), len(row)))

    def bent(a: int, b: int, values: Float) -> None:
        bend[row[a], row[b]] = bend[row[b], row[a]] = float(np.sum(values * weight))

    one, sigma = np.ones_like(weight), h["sigma_alpha"]
    deviation = (found.alpha - h["mu_alpha"]) / sigma
    bent(0, 0, one / sigma**2)
    bent(0, 1, 2 * deviation / sigma)
    bent(1, 1, 2 * deviation**2)
    if at.trend:
        a0, a1, spread = range(at.dispersion.start, at.dispersion.stop)
        e, scale, share = psi[:, 1], h["sigma_phi"], _poisson_share(found, hyper)
        free = 1 - scale / at.sigma_phi_max
        pull, turn = e / scale, share * (1 - share)
        bent(a0, a0, ((1 - share) / scale) ** 2 + pull * turn)
        bent(a1, a1, (share / scale) ** 2 + pull * turn)
        bent(a0, a1, turn / scale**2 - pull * turn)
        bent(a0, spread, -2 * pull * (1 - share) * free)
        bent(a1, spread, -2 * pull * share * free)
        bent(spread, spread, 2 * (e * free) ** 2 + (e * e - 1) * free * (1 - free))
    d = psi[:, at.d]
    q, r2 = _slab_pull(study, d)
    light = one if study.nu is None else study.nu / (study.nu + r2)
    bent(at.s, at.s, prior.changed * 2 * q * r2 * light)
    for k in range(at.m.stop - at.m.start):
        bent(at.m.start + k, at.s, prior.changed * 2 * prior.own[:, k] * light)
        for j in range(k + 1):
            square = (k == j) * q - 2 * q * (1 - light) * d[:, k] * d[:, j] / np.maximum(r2, 1e-300)
            bent(at.m.start + k, at.m.start + j, prior.changed * square / h["s"] ** 2)
    for a in range(len(prior.mixing)):
        for b in range(a + 1):
            w = prior.weight
            bent(at.weight.start + a, at.weight.start + b, np.broadcast_to((a == b) * w[a] - w[a] * w[b], one.shape))
    for column, term in enumerate(study.full["nuisance_term"]):
        k = row[at.tau.start + int(term)]
        bend[k, k] += float(np.sum(2 * psi[:, at.u.start + column] ** 2 * weight))
    return bend


def _likelihood(
    study: Study, found: Evaluation, share: Float, component: int, hyper: HyperDraws
) -> tuple[Float, Float]:
    """Scores [gene, n, draw] of the counts under a component, and what they fall by [n, n], averaged and summed.

    The n hyperparameters are the size factors' coordinates, and a common dispersion where there is one.

    Parameters
    ----------
    share
        [gene, draw] weight of the draws under this component.
    """
    at, full = study.at, study.full
    log_f = np.broadcast_to(hyper.natural["log_f"], (share.shape[1], at.S))
    y, phi = full["count"].T[:, :, None], np.exp(found.log_phi)[:, None]
    change = np.einsum("sk,gkd->gsd", full["component_design"][component], found.beta)
    other = np.einsum("sr,grd->gsd", full["nuisance_design"], found.gamma)
    eta = found.alpha[:, None] + log_f.T + full["log_length"].T[:, :, None] + change + other
    mu = np.exp(np.minimum(eta, 300.0))
    residual = phi * (y - mu) / (phi + mu)
    basis = sum_to_zero_basis(at.S) if at.estimated else np.empty((at.S, 0))
    falls = mu * phi * (y + phi) / (phi + mu) ** 2
    of_factors = basis.T @ (np.einsum("gsd,gd->s", falls, share)[:, None] * basis)
    scores = np.einsum("sv,gsd->gvd", basis, residual, optimize=True)
    if at.trend:
        return scores, of_factors
    inside = special.digamma(y + phi) - special.digamma(phi) + np.log(phi / (phi + mu)) + (mu - y) / (phi + mu)
    outside = trigamma(y + phi) - trigamma(phi) + 1 / phi - 1 / (phi + mu) - (mu - y) / (phi + mu) ** 2
    of_dispersion = np.sum(-(phi * inside + phi**2 * outside).sum(axis=1) * share)
    crossed = basis.T @ np.einsum("gsd,gd->s", phi * mu * (y - mu) / (phi + mu) ** 2, share)
    scores = np.concatenate([scores, -(phi * inside).sum(axis=1)[:, None]], axis=1)
    return scores, np.block([[of_factors, crossed[:, None]], [crossed[None], np.atleast_2d(of_dispersion)]])
