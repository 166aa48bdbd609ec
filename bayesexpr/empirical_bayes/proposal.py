"""What each gene's draws are proposed from: a mixture over its modes, wider and heavier-tailed than the posterior.

A gene may be explained in more ways than one: no change, a large change with a small dispersion, a small change with a
large one. Newton's method climbs from either end, for every component of the tested effect, and every distinct mode
gets a share of the proposals. About a mode the posterior is a funnel: the larger the dispersion, the less the counts
say of all else. Half of a mode's share is proposed on either side of its dispersion, as wide as the posterior is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesexpr.distributions import Float
from bayesexpr.empirical_bayes.following import follow_mode
from bayesexpr.empirical_bayes.laplace import (
    GenePosterior,
    Study,
    covariance,
    gene_posterior,
    given_dispersion,
    integrate_dispersion,
    start,
)
from bayesexpr.empirical_bayes.noise import LIGHT, Noise, make_noise
from bayesexpr.models.de_draws_core import draw_mixture

NODES = 5
"""Points of the quadrature over a gene's dispersion, whose posterior is skewed: a proposal that is centred on the mode
instead of the mean has a tenth of the genes in its tail."""

WIDER = 1.2
"""Standard deviations of the proposal in those of the approximation."""

APART_BY, EACH = 0.9, 0.75
"""How far from the mean of a gene's dispersion the halves of its proposals are, and their standard deviation, in those
of the dispersion's posterior. One piece for both leaves four times as many genes with uneven weights."""

BENT = 25.0
"""Squared distance, in posterior standard deviations, of a half's centre from where a straight line from the mode comes
to, beyond which nothing is known of the funnel, and the half is as the whole: with counts of millions, and a dispersion
that may be anything."""

EVENLY = 0.1
"""What each mode's posterior probability is raised by before they become shares: a mode is tried where Laplace's
approximation gives it too little."""

APART = 0.5
"""Squared distance, in posterior standard deviations, above which two modes are two."""

DIFFERENCE = 0.02
"""Step of the central differences in the hyperparameters, all of order one."""


@dataclass(frozen=True)
class Modes:
    """Modes of every gene.

    Attributes
    ----------
    component
        Component of each mode.
    found
        The genes' approximations at each, with the mean and variance of the dispersion's coordinate by quadrature.
    share
        [G, M] posterior probability of each mode by Laplace's approximation; zero for one found twice.
    """

    component: tuple[int, ...]
    found: tuple[GenePosterior, ...]
    share: Float


def find_modes(study: Study, hyper: Mapping[str, Float]) -> Modes:
    """Climb to the modes of every gene, from no effect and from what the samples' log counts say.

    Parameters
    ----------
    hyper
        One set of hyperparameters.
    """
    at = study.at
    null = at.spike
    component = (0,) * null + tuple(c for c in range(int(null), at.C) for _ in range(2))
    first = gene_posterior(study, hyper, 0, start(study))
    found = [first] if null else []
    for c in range(int(null), at.C):
        found.append(gene_posterior(study, hyper, c, _from_counts(study, hyper, c)))
        found.append(gene_posterior(study, hyper, c, first.mode))
    if at.trend:
        found = [integrate_dispersion(study, hyper, c, one, NODES) for c, one in zip(component, found, strict=True)]
    log_weight = np.log(hyper["weight"]) if at.C > 1 else np.zeros(1)
    height = np.stack([log_weight[c] + one.log_marginal for c, one in zip(component, found, strict=True)], axis=1)
    for k in range(int(null), len(found), 2):
        apart = found[k].mode - found[k + 1].mode
        same = np.einsum("gp,gpq,gq->g", apart, found[k].precision, apart) < APART
        height[same, k + 1] = -np.inf
    share = np.exp(height - special.logsumexp(height, axis=1, keepdims=True))
    return Modes(component, tuple(found), share)


@dataclass(frozen=True)
class Proposal:
    """A mixture of M distributions for each gene.

    Attributes
    ----------
    center
        [M, G, P].
    root, back
        [M, G, P, P] lower triangular root of the covariance, and its inverse.
    share
        [G, M].
    follow
        [G, P, H] how a gene's coordinates follow the hyperparameters, averaged over its modes.
    theta
        [H] where the modes are.
    heavy
        [P] whether a coordinate belongs to the tested effect.
    nu
        Degrees of freedom of the tested effect, those of its slab; an even number. The others have ``LIGHT``.
    """

    center: Float
    root: Float
    back: Float
    share: Float
    follow: Float
    theta: Float
    heavy: NDArray[np.bool_]
    nu: int

    def of(self, genes: NDArray[np.int64]) -> Proposal:
        """Return the proposal of some genes."""
        return replace(
            self,
            center=self.center[:, genes],
            root=self.root[:, genes],
            back=self.back[:, genes],
            share=self.share[genes],
            follow=self.follow[genes],
        )

    @classmethod
    def join(cls, parts: Sequence[Proposal]) -> Proposal:
        """Put the proposals of consecutive genes, made at the same hyperparameters, one after another."""
        along = {"center": 1, "root": 1, "back": 1, "share": 0, "follow": 0}
        joined: dict[str, Any] = {n: np.concatenate([getattr(p, n) for p in parts], axis) for n, axis in along.items()}
        return replace(parts[0], **joined)

    @property
    def bytes(self) -> int:
        """What it takes of the memory."""
        return sum(a.nbytes for a in (self.center, self.root, self.back, self.share, self.follow))

    def moved(self, theta: Float) -> Float:
        """How far [gene, P, draw] the coordinates are moved for hyperparameters [draw, H]."""
        return np.asarray(self.follow @ (theta - self.theta).T)

    def draw(self, noise: Noise) -> Float:
        """Draw coordinates [gene, P, draw] at the proposal's own hyperparameters."""
        mode = np.sum(noise.uniform[:, None] > np.cumsum(self.share, axis=1)[:, :-1, None], axis=1)
        step = noise.normal * np.where(self.heavy[:, None], noise.heavy[:, None], noise.light[:, None])
        psi = self.root[0] @ step + self.center[0][:, :, None]
        for m in range(1, len(self.center)):
            here = mode == m
            genes = np.flatnonzero(here.any(axis=1))
            other = self.root[m, genes] @ step[genes] + self.center[m, genes][:, :, None]
            psi[genes] = np.where(here[genes, None], other, psi[genes])
        return np.asarray(psi)

    def log_density(self, psi: Float) -> Float:
        """Log density [gene, draw] of coordinates [gene, P, draw] at the proposal's own hyperparameters."""
        wide, narrow = int(self.heavy.sum()), int((~self.heavy).sum())
        logs = np.full((len(self.center), len(psi), psi.shape[2]), -np.inf)
        for m, (center, back) in enumerate(zip(self.center, self.back, strict=True)):
            genes = np.flatnonzero(self.share[:, m] > 0)
            z = back[genes] @ (psi[genes] - center[genes][:, :, None])
            z *= z
            size = np.log(self.share[genes, m]) + np.log(np.einsum("gpp->gp", back[genes])).sum(axis=1)
            logs[m, genes] = (
                size[:, None]
                - (self.nu + wide) / 2 * np.log1p(z[:, self.heavy].sum(axis=1) / self.nu)
                - (LIGHT + narrow) / 2 * np.log1p(z[:, ~self.heavy].sum(axis=1) / LIGHT)
            )
        top = logs.max(axis=0)
        logs -= top
        np.exp(logs, out=logs)
        return np.asarray(np.log(logs.sum(axis=0)) + top + self._constant())

    def sample(self, keys: NDArray[np.uint64], draws: int, library: Path | None) -> tuple[Float, Float]:
        """Draw coordinates [gene, P, draw], and their log densities [gene, draw].

        Parameters
        ----------
        keys
            [gene] starts of the genes' random numbers.
        library
            The compiled core; None to compute the same in NumPy.
        """
        if library is None:
            psi = self.draw(make_noise(keys, len(self.heavy), draws, self.nu))
            return psi, self.log_density(psi)
        where = np.flatnonzero(self.heavy)
        heavy = slice(int(where[0]), int(where[-1]) + 1)
        parts = self.center, self.root, self.back, self.share
        return draw_mixture(library, keys, draws, parts, heavy, (self.nu, LIGHT), self._constant())

    def _constant(self) -> float:
        """Logarithm of what the densities of all modes of all genes share."""
        out = 0.0
        for nu, dimension in ((self.nu, int(self.heavy.sum())), (LIGHT, int((~self.heavy).sum()))):
            half = (nu + dimension) / 2
            out += float(special.gammaln(half) - special.gammaln(nu / 2) - dimension / 2 * np.log(nu * np.pi))
        return out


def propose(study: Study, theta: Float) -> Proposal:
    """Put a distribution on every mode of every gene, for hyperparameters `theta` [H] and those near them."""
    at = study.at
    hyper = at.hyper(theta, study.full["log_size_factor"])
    modes = find_modes(study, hyper)
    parts = [
        part
        for component, found in zip(modes.component, modes.found, strict=True)
        for part in _pieces(study, hyper, component, found)
    ]
    root = WIDER * np.linalg.cholesky(np.stack([of_part for _, of_part in parts]))
    share = np.repeat(np.where(modes.share > 0, modes.share + EVENLY, 0.0), len(parts) // len(modes.found), axis=1)
    follow = np.zeros((study.full["G"], at.P, at.H))
    for m, (component, found) in enumerate(zip(modes.component, modes.found, strict=True)):
        if modes.share[:, m].any():
            follow += modes.share[:, m, None, None] * follow_mode(study, theta, component, found, DIFFERENCE)
    return Proposal(
        center=np.stack([center for center, _ in parts]),
        root=root,
        back=np.asarray(np.linalg.inv(root), dtype=float),
        share=share / share.sum(axis=1, keepdims=True),
        follow=follow,
        theta=theta,
        heavy=(np.arange(at.P) >= at.d.start) & (np.arange(at.P) < at.d.stop),
        nu=LIGHT if study.nu is None else int(study.nu),
    )


def _pieces(
    study: Study, hyper: Mapping[str, Float], component: int, found: GenePosterior
) -> list[tuple[Float, Float]]:
    """Centers [G, P] and covariances [G, P, P] of what is proposed about a mode: on either side of its dispersion."""
    whole = covariance(study, found)
    if not study.at.trend:
        return [(found.mean, whole)]
    e = 1
    others = np.delete(np.arange(study.at.P), e)
    sd = np.sqrt(whole[:, e, e])
    out = []
    for side in (1, -1):
        away = found.mean[:, e] + side * APART_BY * sd - found.mode[:, e]
        psi, _, precision = given_dispersion(study, hyper, component, found, away)
        inner = np.linalg.inv(precision[:, others[:, None], others])
        along = np.zeros_like(psi)
        along[:, e], along[:, others] = 1.0, -np.einsum("gpq,gq->gp", inner, precision[:, others, e])
        spread = ((EACH * sd) ** 2)[:, None, None] * along[:, :, None] * along[:, None, :]
        spread[:, others[:, None], others] += inner
        bent = psi - found.mode - whole[:, :, e] / whole[:, e, [e]] * away[:, None]
        sound = np.einsum("gp,gpq,gq->g", bent, precision, bent) < BENT
        out.append(
            (np.where(sound[:, None], psi, found.mean), np.where(sound[:, None, None], spread, whole)),
        )
    return out


def _from_counts(study: Study, hyper: Mapping[str, Float], component: int) -> Float:
    """Coordinates [G, P] by least squares on log counts, with a small dispersion: what the samples themselves say."""
    at, full = study.at, study.full
    logs = np.log(full["count"] + 0.5) - hyper["log_f"][:, None] - full["log_length"]
    columns = np.column_stack([np.ones(at.S), full["component_design"][component], full["nuisance_design"]])
    coefficient = np.linalg.pinv(columns) @ logs
    psi = start(study)
    psi[:, 0] = coefficient[0]
    if at.trend:
        psi[:, 1] = 1.0
    location = hyper["m"] if at.spike else 0.0
    psi[:, at.d] = (coefficient[1 : 1 + at.K].T - location) / hyper["s"]
    tau = np.maximum(hyper["tau"][full["nuisance_term"]], 0.05)
    psi[:, at.u] = np.clip(coefficient[1 + at.K :].T / tau, -3.0, 3.0)
    return psi
