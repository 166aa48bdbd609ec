"""The posterior density of genes at many draws, each with its own hyperparameters.

Arrays are [gene, ..., draw] here, draws fastest: each gene has its own draws, and all genes share the hyperparameters
of a draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesexpr.distributions import Float, nb2_logpmf, spherical_student_t_logpdf, sum_to_zero_basis
from bayesexpr.empirical_bayes.laplace import Study
from bayesexpr.models.de_core import GeneCore
from bayesexpr.models.de_draws_core import evaluate_draws, mean_residuals

HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)


@dataclass(frozen=True)
class HyperDraws:
    """Hyperparameters of each draw, on the real line and on their own scales.

    Attributes
    ----------
    theta
        [draw, H].
    natural
        As :meth:`~bayesexpr.models.de_layout.Layout.hyper` returns them, draws first.
    study
        The study, or any part of it.
    """

    theta: Float
    natural: Mapping[str, Float]
    study: Study

    @classmethod
    def of(cls, study: Study, theta: Float) -> HyperDraws:
        """Constrain `theta` [draw, H]."""
        return cls(theta, study.at.hyper(theta, study.full["log_size_factor"]), study)

    @cached_property
    def rows(self) -> Float:
        """[row, draw] as :func:`~bayesexpr.models.de_draws_core.evaluate_draws` takes them."""
        h, at = self.natural, self.study.at
        one = (len(self.theta), 1)
        log_f = np.broadcast_to(h["log_f"], (len(self.theta), at.S))
        none = np.zeros(one)
        dispersion = (h["a0"], h["a1"], h["sigma_phi"]) if at.trend else (h["dispersion"], none, none)
        columns = [h["mu_alpha"], 1 / h["sigma_alpha"], np.log(h["sigma_alpha"]), *dispersion, h["s"]]
        parts = [np.reshape(column, one) for column in columns]
        parts.append(h["m"] if at.spike else np.zeros((len(self.theta), at.K)))
        parts.append(np.log(h["weight"]) if at.C > 1 else none)
        parts += [h["tau"][:, self.study.full["nuisance_term"]], log_f, np.exp(log_f)]
        return np.ascontiguousarray(np.concatenate(parts, axis=1).T)


@dataclass(frozen=True)
class Evaluation:
    """Genes at their draws.

    Attributes
    ----------
    alpha, log_phi
        [gene, draw].
    beta, gamma
        [gene, K, draw] and [gene, R, draw].
    probability
        [gene, C, draw] conditional probability of every component.
    log_density
        [gene, draw] log of prior times likelihood in the coordinates psi.
    """

    alpha: Float
    log_phi: Float
    beta: Float
    gamma: Float
    probability: Float
    log_density: Float

    def of(self, genes: NDArray[np.int64]) -> Evaluation:
        """Keep some genes."""
        return Evaluation(*(values[genes] for values in vars(self).values()))


class Target:
    """The density of some genes.

    Parameters
    ----------
    study
        Those genes, with the compiled core where there is one.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        full = study.full
        self._core: GeneCore | None = None
        if study.library is not None:
            length = full["log_length"] if np.any(full["log_length"]) else None
            designs = full["component_design"], full["nuisance_design"]
            self._core = GeneCore(study.library, full["count"], *designs, length, trend=study.at.trend)

    def evaluate(self, psi: Float, hyper: HyperDraws) -> Evaluation:
        """Evaluate coordinates psi [gene, P, draw]."""
        if self._core is not None:
            density, log_phi, beta, gamma, probability = evaluate_draws(
                self._core, self.study.nu or 0.0, hyper.rows, psi
            )
            return Evaluation(psi[:, 0], log_phi, beta, gamma, probability, density)
        at, h = self.study.at, hyper.natural
        alpha, d, u = psi[:, 0], psi[:, at.d], psi[:, at.u]
        beta = h["s"] * d
        if at.spike:
            beta = beta + h["m"].T
        gamma = h["tau"][:, self.study.full["nuisance_term"]].T * u
        squares = ((alpha - h["mu_alpha"]) / h["sigma_alpha"]) ** 2 + np.einsum("grs,grs->gs", u, u)
        if at.trend:
            e = psi[:, 1]
            log_phi = h["sigma_phi"] * e - np.log(h["a0"] + h["a1"] * np.exp(-alpha))
            squares += e * e
        else:
            log_phi = np.broadcast_to(-np.log(h["dispersion"]), alpha.shape)
        density = -0.5 * squares - np.log(h["sigma_alpha"]) - (psi.shape[1] - at.K) * HALF_LOG_2PI
        density += self._slab(d)
        joint = self._log_lik(alpha, log_phi, beta, gamma, h)
        if at.C > 1:
            joint += np.log(h["weight"]).T
        top = joint.max(axis=1)
        joint -= top[:, None]
        np.exp(joint, out=joint)
        total = joint.sum(axis=1)
        density += top + np.log(total)
        joint /= total[:, None]
        return Evaluation(alpha, log_phi, beta, gamma, joint, density)

    def other_scores(
        self, psi: Float, found: Evaluation, weight: Float, hyper: HyperDraws
    ) -> tuple[NDArray[np.int64], Float]:
        """Score each gene in the hyperparameters that its likelihood depends on: size factors, a common dispersion.

        Parameters
        ----------
        psi
            [gene, P, draw], where `found` is their evaluation.
        weight
            [gene, draw], each gene's summing to one.

        Returns
        -------
        places, score
            Their places in theta, and [gene, place] the derivative of the log marginal likelihood: by Fisher's
            identity the posterior mean of that of the log likelihood.
        """
        at = self.study.at
        places, parts = [np.arange(at.v.start, at.v.stop)], []
        if at.estimated:
            parts.append(self._residuals(psi, found, weight, hyper) @ sum_to_zero_basis(at.S))
        if not at.trend:
            places.append(np.arange(at.dispersion.start, at.dispersion.stop))
            parts.append(self._dispersion_score(found, weight, hyper)[:, None])
        return np.concatenate(places), np.concatenate(parts, axis=1) if parts else np.empty((len(weight), 0))

    def _slab(self, d: Float) -> Float:
        if self.study.nu is None:
            return np.asarray(-0.5 * np.einsum("gks,gks->gs", d, d) - self.study.at.K * HALF_LOG_2PI)
        return spherical_student_t_logpdf(d.transpose(0, 2, 1), self.study.nu)

    def _log_lik(self, alpha: Float, log_phi: Float, beta: Float, gamma: Float, h: Mapping[str, Any]) -> Float:
        """Log likelihood [gene, C, draw] of every component."""
        at, full = self.study.at, self.study.full
        log_f = np.broadcast_to(h["log_f"], (alpha.shape[1], at.S))
        out = np.zeros((len(alpha), at.C, alpha.shape[1]))
        phi = np.exp(log_phi)
        for s in range(at.S):
            base = self._base(s, alpha, gamma, log_f)
            for c in range(at.C):
                row = full["component_design"][c, s]
                mu = np.exp(np.minimum(base + np.einsum("k,gks->gs", row, beta), 600.0))
                out[:, c] += nb2_logpmf(full["count"][s][:, None], mu, phi)
        return out

    def _base(self, s: int, alpha: Float, gamma: Float, log_f: Float) -> Float:
        """Log mean [gene, draw] of a sample but for the tested effect."""
        full = self.study.full
        base = alpha + log_f[:, s] + full["log_length"][s][:, None]
        return np.asarray(base + np.einsum("r,grs->gs", full["nuisance_design"][s], gamma))

    def _residuals(self, psi: Float, found: Evaluation, weight: Float, hyper: HyperDraws) -> Float:
        """Posterior mean [gene, S] of the derivative of the log likelihood in each log size factor."""
        if self._core is not None:
            return mean_residuals(self._core, hyper.rows, psi, found.log_phi, found.probability, weight)
        at, full = self.study.at, self.study.full
        out = np.zeros((len(weight), at.S))
        phi = np.exp(found.log_phi)
        log_f = np.broadcast_to(hyper.natural["log_f"], (weight.shape[1], at.S))
        for s in range(at.S):
            base = self._base(s, found.alpha, found.gamma, log_f)
            rows, row_of = np.unique(full["component_design"][:, s], axis=0, return_inverse=True)
            for r, row in enumerate(rows):
                mu = np.exp(np.minimum(base + np.einsum("k,gks->gs", row, found.beta) if row.any() else base, 600.0))
                share = found.probability[:, np.ravel(row_of) == r].sum(axis=1)
                out[:, s] += np.einsum(
                    "gs,gs->g", weight, share * phi * (full["count"][s][:, None] - mu) / (mu + phi), optimize=True
                )
        return out

    def _dispersion_score(self, found: Evaluation, weight: Float, hyper: HyperDraws) -> Float:
        """Return the derivative [gene] in the log of the common dispersion, by central differences."""
        step = 1e-4
        sides = []
        for sign in (1, -1):
            log_phi = found.log_phi - sign * step
            lik = self._log_lik(found.alpha, log_phi, found.beta, found.gamma, hyper.natural)
            sides.append(np.einsum("gcs,gcs->gs", found.probability, lik))
        return np.asarray(np.einsum("gs,gs->g", weight, (sides[0] - sides[1]) / (2 * step)))
