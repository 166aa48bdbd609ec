"""The warm start of a joint fit: a whitening of hyperparameters and gene coordinates, and chains' starts.

Nothing here touches the posterior: the maps are affine and invertible, and a chain may start anywhere. What they change
is how far apart the scales and how strong the correlations are that the sampler sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bayesexpr.distributions import Float
from bayesexpr.empirical_bayes.hyper import Marginal, fit_hyper, follow, information_matrix, marginal, scores
from bayesexpr.empirical_bayes.laplace import Study, start
from bayesexpr.models.de_layout import Layout, Whitening
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE

PILOT_GENES = 800
"""Genes from which the hyperparameters are first learned; those of the whole study are then a short way off."""

NODES = 5
"""Points of the quadrature over a gene's dispersion."""

DRIVERS = 4
"""Directions in which a gene's coordinate may follow the hyperparameters."""


@dataclass(frozen=True)
class WarmStart:
    """What the approximations say before the sampler runs.

    Attributes
    ----------
    theta
        [H] hyperparameters at the mode of their marginal posterior.
    genes
        Each gene's approximate posterior there.
    whitening
        Maps that make the joint posterior nearly a unit normal.
    """

    theta: Float
    genes: Marginal
    whitening: Whitening


def warm_start(
    model: NegativeBinomialDE, data: Mapping[str, Any], rng: np.random.Generator, library: Path | None = None
) -> WarmStart:
    """Learn the hyperparameters, approximate every gene, and whiten.

    Parameters
    ----------
    data
        As ``model.complete`` returns it.
    rng
        Chooses the pilot's genes.
    library
        The kernel's core as a shared library, for speed.
    """
    at = model.layout(data)
    study = Study.of(model, data, library)

    def log_prior(theta: Float) -> float:
        return model.hyper_log_density(at, theta, at.hyper(theta, data["log_size_factor"]))

    pilot = study
    if data["G"] > PILOT_GENES:
        pilot = study.subset(np.sort(rng.choice(data["G"], PILOT_GENES, replace=False)))
    theta, rough = fit_hyper(pilot, first_guess(model, at, pilot), [start(pilot)] * at.C, log_prior, enough=1.0)
    theta, fine = fit_hyper(pilot, theta, [part.mode for part in rough.components], log_prior, nodes=NODES, sweeps=6)
    information = information_matrix(scores(pilot, theta, fine, NODES), log_prior, theta, data["G"])
    theta_scale = np.linalg.cholesky(np.linalg.inv(information))
    genes = fine if pilot is study else marginal(study, theta, [start(study)] * at.C, nodes=NODES)
    scale = np.maximum(genes.sd(), 1e-3)
    slope, driver = _compress(follow(study, theta, genes), scale, theta_scale)
    return WarmStart(theta, genes, Whitening(theta, theta_scale, genes.mean(), scale, slope, driver))


def first_guess(model: NegativeBinomialDE, at: Layout, study: Study) -> Float:
    """Hyperparameters to climb from: the centres of the priors, and the spread of the genes' mean counts."""
    log_mean = start(study)[:, 0]
    hyper = {
        "mu_alpha": float(log_mean.mean()),
        "sigma_alpha": float(np.clip(log_mean.std(), 1.0, 4.0)) if len(log_mean) > 1 else 2.0,
        "a0": np.exp(model.prior("a0").log_mean),
        "a1": np.exp(model.prior("a1").log_mean),
        "sigma_phi": 0.7 * at.sigma_phi_max,
        "dispersion": 1 / model.prior("dispersion").rate,
        "m": np.zeros(at.K),
        "s": 0.5,
        "weight": model.prior("weight").concentration(at.C),
        "tau": np.full(at.B, 0.3),
        "log_f": study.full["log_size_factor"],
    }
    return at.theta(hyper, study.full["log_size_factor"])


def _compress(follow: Float, scale: Float, theta_scale: Float) -> tuple[Float, Float]:
    """Keep, for each coordinate, the few directions of the hyperparameters that its genes follow most.

    Directions are ranked in whitened units on both sides, so that what is dropped is small against a coordinate's
    posterior spread.

    Returns
    -------
    slope, driver
        [P, G, J] and [P, J, H].
    """
    G, P, H = follow.shape
    J = min(DRIVERS, H)
    slope, driver = np.empty((P, G, J)), np.empty((P, J, H))
    back = np.linalg.inv(theta_scale)
    for p in range(P):
        natural = follow[:, p] @ theta_scale
        white = natural / scale[:, [p]]
        _, directions = np.linalg.eigh(white.T @ white)
        kept = directions[:, ::-1][:, :J]
        slope[p], driver[p] = natural @ kept, kept.T @ back
    return slope, driver


def starting_points(warm: WarmStart, chains: int, rng: np.random.Generator) -> list[dict[str, Float]]:
    """Draw a start for each chain from the approximate posterior: unit normal in the whitened coordinates."""
    shape = warm.whitening.center.shape
    return [{"zeta": rng.normal(size=warm.theta.size), "z": rng.normal(size=shape)} for _ in range(chains)]
