r"""A gene's parameters integrated out, given hyperparameters, by importance sampling around its mode.

Given the hyperparameters theta the genes are independent, and each has a handful of parameters psi: log mean, log
precision, the tested effect, other effects. A heavy-tailed proposal q around the mode, one for each component of the
effect, gives points psi_i; with log-likelihoods l_is of each sample s and M draws theta_j of the hyperparameters,

.. math:: \log w_{jic} = \log p(c \mid \theta_j) + \log p(\psi_i \mid \theta_j, c) + \sum_s l_{ijcs} - \log q_c(\psi_i)

are the weights of the posterior. Leaving out sample s of the gene divides them by exp(l_s); the marginal over theta of
what is left is corrected by 1 / sum_ic w, so that the data left out have no part in the hyperparameters either. The
same points serve every sample. Where the tail of a count's weights is too heavy, new points are drawn around the mode
of the posterior without it, and both sets are used as one mixture (Veach and Guibas 1995, SIGGRAPH 95:419). What is
found of a gene follows from its number and the seed, whichever other genes are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats
from scipy.stats import qmc

from bayesexpr.distributions import Float, log_rising_factorial, normal_logpdf, spherical_student_t_logpdf
from bayesexpr.empirical_bayes.laplace import GenePosterior, Study, gene_posterior, integrate_dispersion, start
from bayesexpr.models.de_layout import Layout

NODES = 7
"""Points of the quadrature over a gene's dispersion."""

TAILS = 5.0
"""Degrees of freedom of the proposals."""

WIDER = 1.6
"""Proposals are this much wider than Laplace's approximation: what is left of the data says less than all of them, and
is skewed. Of 1.2, 1.4 and 1.6 the last leaves the fewest counts with a k-hat above its limit."""

HYPER_DRAWS, HYPER_DRAWS_FEW_GENES, FEW_GENES = 16, 64, 500
"""Draws of the hyperparameters under which genes are integrated out: more where few genes leave them uncertain."""


@dataclass(frozen=True)
class Hyper:
    """M draws of the hyperparameters, [M, ...] each, and the point that the proposals are made at."""

    draws: Mapping[str, Float]
    centre: Mapping[str, Float]

    @classmethod
    def of(cls, at: Layout, theta: Float, log_size_factor: Float, genes: int) -> Hyper:
        """Take a few of the draws [draw, H], on the real line, from the posterior of a study of so many genes."""
        number = HYPER_DRAWS if genes >= FEW_GENES else HYPER_DRAWS_FEW_GENES
        draws = at.hyper(theta[spread(len(theta), number)], log_size_factor)
        return cls(draws, at.hyper(theta.mean(axis=0), log_size_factor))

    def at_centre(self) -> Hyper:
        """Return that point as the one draw."""
        return Hyper({name: np.asarray(value)[None] for name, value in self.centre.items()}, self.centre)

    @property
    def size(self) -> int:
        """Number of draws."""
        return len(self.draws["mu_alpha"])


@dataclass(frozen=True)
class Proposal:
    """A multivariate t for each gene, in coordinates e, alpha, Q'd, u (without e where all genes share a dispersion).

    The larger e, the more precise the counts, and the more they say about all other coordinates. Those are drawn given
    e: in the basis where the information of the counts and that of the prior are both diagonal, the former is scaled
    by what it is at e over what it is at the mode.

    Attributes
    ----------
    mean
        [g, p].
    sd, along
        [g] of e, and [g, q] slope of the q other coordinates in it; zero where there is no e.
    basis, inverse
        [g, q, q] from the other coordinates' independent deviates to themselves, and back.
    share
        [g, q] part of the information in each of those directions that is the counts'.
    mu, log_phi
        [S, g] mean counts and [g] log precision at the mode.
    spread
        Standard deviation of log phi for a unit of e; 0 where there is no e.
    """

    mean: Float
    sd: Float
    along: Float
    basis: Float
    inverse: Float
    share: Float
    mu: Float
    log_phi: Float
    spread: float

    @property
    def first(self) -> int:
        """Number of coordinates before the others: 1 where there is an e."""
        return int(self.spread > 0)

    def log_density(self, x: Float) -> Float:
        """Log density [N, g] of points [N, g, p]."""
        deviation, information = self._given(x)
        k = self.first
        centred = x[..., k:] - self.mean[:, k:] - self.along * deviation
        white = np.einsum("gpq,ngq->ngp", self.inverse, centred, optimize=True) * np.sqrt(information)
        if k:
            white = np.concatenate([deviation / self.sd[:, None], white], axis=-1)
        log_det = k * np.log(self.sd) + np.linalg.slogdet(self.basis)[1] - 0.5 * np.log(information).sum(axis=-1)
        return np.asarray(spherical_student_t_logpdf(white, TAILS) - log_det)

    def draw(self, t: Float) -> Float:
        """Turn spherical t variates [N, g, p] into points."""
        k = self.first
        head = self.mean[:, :k] + self.sd[:, None] * t[..., :k]
        deviation, information = self._given(head)
        inner = np.einsum("gpq,ngq->ngp", self.basis, t[..., k:] / np.sqrt(information), optimize=True)
        return np.concatenate([head, self.mean[:, k:] + self.along * deviation + inner], axis=-1)

    def _given(self, x: Float) -> tuple[Float, Float]:
        """Distance [N, g, 1] of e from its mode, and information [N, g, q] relative to that at the mode."""
        if not self.first:
            return np.zeros((*x.shape[:2], 1)), np.ones((*x.shape[:2], self.share.shape[1]))
        deviation = x[..., :1] - self.mean[:, :1]
        phi = np.exp(np.clip(self.log_phi + self.spread * deviation[..., 0], -300.0, 300.0))
        here = np.mean(self.mu / (1 + self.mu / np.exp(self.log_phi)), axis=0)
        there = np.mean(self.mu[:, None] / (1 + self.mu[:, None] / phi), axis=0)
        return deviation, 1.0 - self.share + self.share * (there / here)[..., None]


@dataclass(frozen=True)
class Weighted:
    """Points of all components with their posterior log weights.

    Attributes
    ----------
    log_weight
        [M, I, g], normalised over I in each of the M draws of the hyperparameters; I counts points of all components.
    log_lik
        [S, M, I, g] of each count.
    log_mean, log_phi
        [S, M, I, g] and [M, I, g], of the counts' distributions.
    """

    log_weight: Float
    log_lik: Float
    log_mean: Float
    log_phi: Float


def spread(size: int, number: int) -> NDArray[np.intp]:
    """Return at most `number` places among `size`, evenly spread."""
    return np.unique(np.linspace(0, size - 1, min(number, size)).round().astype(np.intp))


def approximate(study: Study, hyper: Mapping[str, Float], modes: list[Float] | None = None) -> list[GenePosterior]:
    """Find a centre and the curvature there of every gene in every component.

    The joint mode may lie in a narrow neck, where the dispersion is small and all else certain, far from where the
    mass is: the centre is the mean, with the dispersion integrated by quadrature.

    Returns
    -------
    list of GenePosterior
        Of each component; `mode` is that centre.
    """
    begin = modes or [start(study)] * study.at.C
    return [_centre(study, hyper, c, gene_posterior(study, hyper, c, begin[c])) for c in range(study.at.C)]


def _centre(study: Study, hyper: Mapping[str, Float], c: int, found: GenePosterior) -> GenePosterior:
    if not study.at.trend:
        return found
    whole = integrate_dispersion(study, hyper, c, found, NODES)
    there = gene_posterior(study, hyper, c, whole.mean, steps=0)
    return replace(whole, mode=whole.mean, precision=there.precision)


def proposals(study: Study, centre: Mapping[str, Float], found: list[GenePosterior]) -> list[Proposal]:
    """Widen Laplace's approximation of each component, in the directions that its likelihood sees.

    Parameters
    ----------
    centre
        Hyperparameters that the approximation was made at.
    """
    at, full, hyper, out = study.at, study.full, dict(centre), []
    k = int(at.trend)
    for c, one in enumerate(found):
        keep = _kept(study, c)
        covariance = np.einsum("pi,gij,qj->gpq", keep, np.linalg.inv(one.precision), keep, optimize=True)
        sd = np.sqrt(one.variance[:, 1]) if k else np.ones(len(one.mode))
        precision = np.einsum("pi,gij,qj->gpq", keep, one.precision, keep, optimize=True)[:, k:, k:]
        change = full["component_design"][c] @ at.effect(one.mode, hyper).T
        other = full["nuisance_design"] @ at.other_effects(one.mode, hyper, full["nuisance_term"]).T
        eta = one.mode[:, 0] + hyper["log_f"][:, None] + full["log_length"] + change + other

        # simultaneous diagonalisation of the precision and of the prior's part in it
        prior = _prior_precision(study, hyper, one.mode) @ (keep.T**2)[:, k:]
        lower = np.linalg.cholesky(precision)
        half = np.linalg.inv(lower)
        of_prior, rotation = np.linalg.eigh(np.einsum("gpi,gi,gqi->gpq", half, prior, half, optimize=True))
        basis = WIDER * np.einsum("gip,giq->gpq", half, rotation, optimize=True)
        out.append(
            Proposal(
                mean=one.mode @ keep.T,
                sd=WIDER * sd,
                along=k * covariance[:, k:, 0] / covariance[:, :1, 0],
                basis=basis,
                inverse=np.linalg.inv(basis),
                share=np.clip(1.0 - of_prior, 0.0, 1.0),
                mu=np.exp(np.minimum(eta, 40.0)),
                log_phi=at.log_phi(one.mode, hyper),
                spread=float(hyper["sigma_phi"]) if k else 0.0,
            )
        )
    return out


def without_sample(study: Study, s: int) -> Study:
    """Return the study without one sample."""
    full = dict(study.full)
    rows = np.delete(np.arange(full["S"]), s)
    for name in ("count", "log_length", "log_size_factor", "nuisance_design", "design"):
        full[name] = full[name][rows]
    full["component_design"] = full["component_design"][:, rows]
    full["S"] = len(rows)
    return Study(replace(study.at, S=len(rows)), full, study.nu)


def hyper_without_sample(hyper: Mapping[str, Float], s: int) -> dict[str, Float]:
    """Return hyperparameters without one sample's size factor."""
    return {**hyper, "log_f": np.delete(hyper["log_f"], s, axis=-1)}


def points(
    mixture: list[list[Proposal]], number: int, rng: np.random.Generator, genes: NDArray[np.int64] | None = None
) -> list[tuple[Float, Float]]:
    """Draw `number` points from each proposal.

    Parameters
    ----------
    mixture
        Proposals for each component; those of one component are used as a mixture with equal weights.
    genes
        [g] their numbers in the study, 0, 1, ... unless given: with the generator in the same state, a gene of the same
        number gets the same points.

    Returns
    -------
    list
        Points [N, g, p] and their log density [N, g], for each component.
    """
    out = []
    for several in mixture:
        g, p = several[0].mean.shape
        place = np.arange(g) if genes is None else genes
        drawn = []
        for one in several:
            u = qmc.Sobol(p + 1, rng=rng).random(number)[:, None, :]
            # each gene has its own shift, evenly spread over the genes: errors do not add up over them
            u = (u + (place + 1)[:, None] * rng.random(p + 1)) % 1.0
            u = np.clip(u, 1e-12, 1 - 1e-12)
            radius = np.sqrt(TAILS / stats.chi2.ppf(u[..., :1], TAILS))
            drawn.append(one.draw(special.ndtri(u[..., 1:]) * radius))
        x = np.concatenate(drawn)
        density = [one.log_density(x) for one in several]
        out.append((x, special.logsumexp(density, axis=0) - np.log(len(several))))
    return out


def weigh(study: Study, hyper: Hyper, drawn: list[tuple[Float, Float]]) -> Weighted:
    """Weigh points under every draw of the hyperparameters.

    Parameters
    ----------
    study
        Of the g genes of the points.
    drawn
        As :func:`points` returns them.
    """
    parts = [_component(study, hyper, c, *one) for c, one in enumerate(drawn)]
    joined = [np.concatenate([part[k] for part in parts], axis=-2) for k in range(4)]
    joint = joined[0] + joined[1].sum(axis=0)
    return Weighted(joint - special.logsumexp(joint, axis=1, keepdims=True), *joined[1:])


def _component(study: Study, hyper: Hyper, c: int, x: Float, log_q: Float) -> tuple[Float, Float, Float, Float]:
    """Log prior over proposal [M, I, g], log-likelihood, log mean [S, M, I, g] and log phi [M, I, g]."""
    at, full, h, centre = study.at, study.full, hyper.draws, hyper.centre
    basis = _basis(full["component"][c])
    r, R, M = basis.shape[1], at.R, hyper.size
    tau = centre["tau"][full["nuisance_term"]]
    first = int(at.trend)
    d = x[..., at.d.start : at.d.start + r]
    u = x[..., at.d.start + r :]
    m = centre["m"] @ basis if at.spike else np.zeros(r)

    # the gene's parameters on their own scales, and the volume that this takes
    alpha, effect, other = x[..., first], m + centre["s"] * d, tau * u
    log_volume = r * np.log(centre["s"]) + np.log(tau).sum()
    if at.trend:
        log_phi = centre["sigma_phi"] * x[..., 0] - np.log(centre["a0"] + centre["a1"] * np.exp(-alpha))
        log_volume = log_volume + np.log(centre["sigma_phi"])
        log_phi = log_phi[None]
    else:
        log_phi = np.broadcast_to(-np.log(h["dispersion"])[:, None, None], (M, 1, 1))

    # priors under every draw of the hyperparameters
    def each(name: str) -> Float:
        return np.asarray(h[name])[:, None, None]

    prior = normal_logpdf(alpha, each("mu_alpha"), each("sigma_alpha"))
    if at.trend:
        trend = -np.log(each("a0") + each("a1") * np.exp(-alpha))
        prior = prior + normal_logpdf(log_phi, trend, each("sigma_phi"))
    if r:
        m_each = (h["m"] @ basis)[:, None, None, :] if at.spike else 0.0
        scaled = (effect - m_each) / each("s")[..., None]
        slab = normal_logpdf(scaled, 0, 1).sum(-1) if study.nu is None else spherical_student_t_logpdf(scaled, study.nu)
        prior = prior + slab - r * np.log(each("s"))
    if R:
        taus = h["tau"][:, full["nuisance_term"]][:, None, None, :]
        prior = prior + normal_logpdf(other, 0.0, taus).sum(-1)
    if at.C > 1:
        prior = prior + np.log(h["weight"][:, c])[:, None, None]
    log_prior = prior - (log_q - log_volume)

    # the counts
    y, design = full["count"], full["component_design"][c] @ basis
    phi = np.exp(log_phi)
    shape = (full["S"], M, *alpha.shape)
    log_lik, log_mean = np.empty(shape), np.empty(shape)
    for s in range(full["S"]):
        base = alpha + full["log_length"][s] + effect @ design[s] + other @ full["nuisance_design"][s]
        constant = log_rising_factorial(y[s], phi) - special.gammaln(y[s] + 1.0)
        log_mean[s] = base + h["log_f"][:, s, None, None]
        ratio = np.minimum(log_mean[s] - log_phi, 700.0)
        log_lik[s] = constant + y[s] * log_mean[s] - (y[s] + phi) * np.log1p(np.exp(ratio))
    return log_prior, log_lik, log_mean, np.broadcast_to(log_phi, (M, *alpha.shape))


def _prior_precision(study: Study, hyper: Mapping[str, Float], psi: Float) -> Float:
    """Curvature [g, P] of the genes' priors; the Student-t's is that at its mode, scaled by how far d is from it."""
    at = study.at
    out = np.ones(psi.shape)
    out[:, 0] = hyper["sigma_alpha"] ** -2.0
    if study.nu is not None:
        out[:, at.d] = (study.nu + at.K) / (study.nu + np.sum(psi[:, at.d] ** 2, axis=1, keepdims=True))
    return out


def _basis(projector: Float) -> Float:
    """Orthonormal basis [K, r] of the effects that a component allows."""
    values, vectors = np.linalg.eigh(projector)
    return np.asarray(vectors[:, values > 0.5])


def _kept(study: Study, c: int) -> Float:
    """Matrix [p, P] that takes the coordinates of a gene to those that the component's likelihood sees."""
    at = study.at
    basis = _basis(study.full["component"][c])
    rows: list[NDArray[Any]] = [np.eye(at.P)[: at.d.start][::-1]]
    middle = np.zeros((basis.shape[1], at.P))
    middle[:, at.d] = basis.T
    return np.concatenate([*rows, middle, np.eye(at.P)[at.u]])
