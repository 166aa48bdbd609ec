r"""Derivatives of the genes' priors in the hyperparameters, at draws of the genes: scores and the observed information.

Intercept, dispersion, effects and component of a gene are its complete data; given them, the counts say nothing more of
the hyperparameters but for size factors (and a common dispersion, where there is one). With their draws and weights,

.. math:: \nabla \log p(y_g) = E[s], \qquad
          -\nabla^2 \log p(y_g) = E[-\nabla s^\top] - E[s s^\top] + E[s] E[s]^\top

(Fisher; Louis 1982, J R Stat Soc B 44:226), s being the derivative of the log density of the complete data. The
component is averaged over by its conditional probabilities. Under "no change" the effect has its prior, and what it
adds to either expression is zero: it is left out rather than averaged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesexpr.distributions import Float
from bayesexpr.empirical_bayes.laplace import Study
from bayesexpr.empirical_bayes.target import Evaluation, HyperDraws


@dataclass(frozen=True)
class Complete:
    """Derivatives at weighted draws.

    Attributes
    ----------
    places
        [L] places in theta of the hyperparameters that only priors depend on.
    score
        [gene, L].
    information
        [L, L] summed over the genes.
    """

    places: NDArray[np.int64]
    score: Float
    information: Float


def complete_data(study: Study, psi: Float, found: Evaluation, weight: Float, hyper: HyperDraws) -> Complete:
    """Differentiate the priors of some genes.

    Parameters
    ----------
    psi
        [gene, P, draw], where `found` is their evaluation.
    weight
        [gene, draw], each gene's summing to one.
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
    bend = np.zeros((len(places), len(places)))  # of E[-d s], summed over genes

    def total(values: Float) -> float:
        return float(np.sum(values * weight))

    def bent(a: int, b: int, values: Float) -> None:
        bend[row[a], row[b]] = bend[row[b], row[a]] = total(values)

    one = np.ones_like(weight)
    sigma = h["sigma_alpha"]
    deviation = (found.alpha - h["mu_alpha"]) / sigma
    s[:, 0], s[:, 1] = deviation / sigma, deviation**2 - 1
    bent(0, 0, one / sigma**2)
    bent(0, 1, 2 * deviation / sigma)
    bent(1, 1, 2 * deviation**2)

    if at.trend:
        a0, a1, spread = trend
        e, scale = psi[:, 1], h["sigma_phi"]
        share = h["a1"] * np.exp(-found.alpha)
        share = share / (h["a0"] + share)
        free = 1 - scale / at.sigma_phi_max
        pull, turn = e / scale, share * (1 - share)
        s[:, row[a0]], s[:, row[a1]], s[:, row[spread]] = pull * (share - 1), -pull * share, (e * e - 1) * free
        bent(a0, a0, ((1 - share) / scale) ** 2 + pull * turn)
        bent(a1, a1, (share / scale) ** 2 + pull * turn)
        bent(a0, a1, turn / scale**2 - pull * turn)
        bent(a0, spread, -2 * pull * (1 - share) * free)
        bent(a1, spread, -2 * pull * share * free)
        bent(spread, spread, 2 * (e * free) ** 2 + (e * e - 1) * free * (1 - free))

    changed = 1 - found.probability[:, 0] if at.C > 1 else one
    d = psi[:, at.d]
    r2 = np.einsum("gks,gks->gs", d, d)
    q, light = one, one  # light: nu / (nu + r2), one for a normal slab
    if study.nu is not None:
        q, light = (study.nu + at.K) / (study.nu + r2), study.nu / (study.nu + r2)
    own = np.zeros((G, len(slab), draws))
    own[:, -1] = q * r2 - at.K
    bent(at.s, at.s, changed * 2 * q * r2 * light)
    for k in range(len(slab) - 1):
        own[:, k] = q * d[:, k] / h["s"]
        bent(slab[k], at.s, changed * 2 * own[:, k] * light)
        for j in range(k + 1):
            square = (k == j) * q - 2 * q * (1 - light) * d[:, k] * d[:, j] / np.maximum(r2, 1e-300)
            bent(slab[k], slab[j], changed * square / h["s"] ** 2)
    here = [row[place] for place in slab]
    s[:, here] = changed[:, None] * own

    mixed = [row[place] for place in mixing]
    if mixing:
        w = h["weight"][:, 1:].T
        omega = found.probability[:, 1:]
        s[:, mixed] = omega - w
        for a in range(len(mixing)):
            for b in range(a + 1):
                bent(mixing[a], mixing[b], np.broadcast_to((a == b) * w[a] - w[a] * w[b], weight.shape))

    for column, term in enumerate(study.full["nuisance_term"]):
        u2 = psi[:, at.u.start + column] ** 2
        k = row[at.tau.start + int(term)]
        s[:, k] += u2 - 1
        bend[k, k] += total(2 * u2)

    weighted = s * weight[:, None]
    score = weighted.sum(axis=2)
    product = weighted @ s.swapaxes(1, 2)
    # where both factors depend on the component, its average is not the product of averages
    product[:, np.ix_(here, here)[0], np.ix_(here, here)[1]] = (own * (changed * weight)[:, None]) @ own.swapaxes(1, 2)
    if mixing:
        both = omega - changed[:, None] * w
        cross = (own * weight[:, None]) @ both.swapaxes(1, 2)
        product[:, np.array(here)[:, None], mixed] = cross
        product[:, np.array(mixed)[:, None], here] = cross.swapaxes(1, 2)
        mean = (omega @ weight[:, :, None])[:, :, 0]
        part = (omega * weight[:, None]) @ w.T
        pairs = (w[:, None] * w).reshape(len(mixing) ** 2, -1)
        square = (weight @ pairs.T).reshape(G, len(mixing), len(mixing))
        block = mean[:, :, None] * np.eye(len(mixing)) - part - part.swapaxes(1, 2) + square
        product[:, np.array(mixed)[:, None], mixed] = block
    # the variance of n weighted draws falls short by the sum of their squared weights
    short = 1 / np.maximum(1 - np.einsum("gs,gs->g", weight, weight), 0.5)
    spread_of = np.einsum("g,gab->ab", short, product - score[:, :, None] * score[:, None, :])
    return Complete(places, score, bend - spread_of)
