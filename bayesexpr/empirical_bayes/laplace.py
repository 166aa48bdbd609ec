r"""Each gene's posterior in each component, given the hyperparameters, by Newton's method, Laplace and quadrature.

Genes are independent given the hyperparameters, so all of them step at once: arrays are [genes, ...]. The curvature is
the expected information of the linear predictor plus the observed information of log phi where that is positive, plus
the prior's; it is positive definite everywhere, which makes every step an ascent direction. The posterior of a
dispersion from a handful of samples is skewed, so that coordinate is integrated by adaptive Gauss-Hermite quadrature
with Laplace's approximation of the others at each node; Laplace alone puts the spread of dispersions at half its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesexpr.distributions import Float, nb2_logpmf, normal_logpdf, spherical_student_t_logpdf, trigamma
from bayesexpr.models.de_core import GeneCore, dispersion_for_core
from bayesexpr.models.de_layout import Layout
from bayesexpr.models.negative_binomial_de import SLAB_NU, NegativeBinomialDE

MAX_STEP = 3.0
"""Longest move of a coordinate in one Newton step, in its natural unit: counts grow as exp of it."""

LEAST_SPREAD = 1e-6
"""Least variance of the dispersion's coordinate, of that at its mode: one node of a quadrature may hold all mass."""


@dataclass(frozen=True)
class GenePosterior:
    """Modes and curvatures of one component.

    Attributes
    ----------
    mode
        [G, P] coordinates at the mode.
    precision
        [G, P, P] curvature there.
    mean, variance
        [G, P] of the coordinates.
    log_marginal
        [G] log of the gene's likelihood integrated over its coordinates.
    """

    mode: Float
    precision: Float
    mean: Float
    variance: Float
    log_marginal: Float


@dataclass(frozen=True, eq=False)
class Study:
    """What the approximations need of a study.

    Attributes
    ----------
    at, full
        Where the model's quantities stand, and its completed data.
    nu
        Degrees of freedom of the slab; None for a normal one.
    library
        The kernel's core as a shared library; None to compute in NumPy, which is the same at a tenth of the speed.
    """

    at: Layout
    full: Mapping[str, Any]
    nu: float | None
    library: Path | None = None

    @classmethod
    def of(cls, model: NegativeBinomialDE, full: Mapping[str, Any], library: Path | None = None) -> Study:
        """Put a program and its completed data together."""
        return cls(model.layout(full), full, None if model.options["effects"] == "normal" else SLAB_NU, library)

    def subset(self, genes: NDArray[np.int64]) -> Study:
        """Return the study of some of its genes."""
        cut = {"count": self.full["count"][:, genes], "log_length": self.full["log_length"][:, genes], "G": len(genes)}
        return Study(self.at, {**self.full, **cut}, self.nu, self.library)

    @cached_property
    def cores(self) -> tuple[GeneCore, ...]:
        """Compiled core of each component; none where there is no library."""
        if self.library is None:
            return ()
        full = self.full
        length = full["log_length"] if np.any(full["log_length"]) else None
        return tuple(
            GeneCore(self.library, full["count"], design[None], full["nuisance_design"], length, trend=self.at.trend)
            for design in full["component_design"]
        )


def start(study: Study) -> Float:
    """Coordinates [G, P] to start Newton's method from: the log of the gene's normalised mean count, else zero."""
    scale = np.exp(study.full["log_size_factor"][:, None] + study.full["log_length"])
    mean = (study.full["count"] / scale).mean(axis=0)
    psi = np.zeros((study.full["G"], study.at.P))
    psi[:, 0] = np.log(np.maximum(mean, 0.1))
    return psi


def gene_posterior(
    study: Study, hyper: Mapping[str, Float], component: int, mode: Float, *, steps: int = 25, tolerance: float = 1e-4
) -> GenePosterior:
    """Find the mode of every gene in one component.

    Parameters
    ----------
    hyper
        One set of hyperparameters, as :meth:`~bayesexpr.models.de_layout.Layout.hyper` returns them.
    mode
        [G, P] where to start.
    steps, tolerance
        Newton steps at most, and the log density that a step must promise for a gene to go on.
    """
    psi = mode.copy()
    moving = np.ones(len(psi), dtype=bool)
    for _ in range(steps):
        value, gradient, precision = _terms(study, hyper, component, psi)
        step = np.zeros_like(psi)
        step[moving] = np.linalg.solve(precision[moving], gradient[moving, :, None])[..., 0]
        moving = np.sum(step * gradient, axis=1) > tolerance
        if not moving.any():
            break
        step[~moving] = 0
        step *= np.minimum(1.0, MAX_STEP / np.maximum(np.abs(step).max(axis=1), 1e-9))[:, None]
        psi = _ascend(study, hyper, component, psi, step, value)
    else:
        value, _, precision = _terms(study, hyper, component, psi)
    variance = np.linalg.inv(precision).diagonal(axis1=1, axis2=2)
    return GenePosterior(psi, precision, psi, np.asarray(variance, dtype=float), _laplace(value, precision))


def integrate_dispersion(
    study: Study, hyper: Mapping[str, Float], component: int, found: GenePosterior, nodes: int
) -> GenePosterior:
    """Replace Laplace's approximation in the dispersion's coordinate by quadrature; the others follow it node by node.

    Parameters
    ----------
    found
        Modes and curvatures at these hyperparameters.
    nodes
        Points of the quadrature (Liu and Pierce 1994, Biometrika 81:624).
    """
    at, e = study.at, 1
    others = np.delete(np.arange(at.P), e)
    sd = np.sqrt(np.linalg.inv(found.precision)[:, e, e])
    x, weight = np.polynomial.hermite.hermgauss(nodes)
    places, variances, logs = [], [], []
    for k in range(nodes):
        psi, value, precision = given_dispersion(study, hyper, component, found, np.sqrt(2.0) * sd * x[k])
        inner = precision[:, others[:, None], others]
        variance = np.zeros_like(psi)
        variance[:, others] = np.linalg.inv(inner).diagonal(axis1=1, axis2=2)
        places.append(psi)
        variances.append(variance)
        logs.append(_laplace(value, inner) + np.log(weight[k]) + x[k] ** 2 + np.log(np.sqrt(2.0) * sd))
    total = special.logsumexp(logs, axis=0)
    share = np.exp(np.stack(logs) - total)[..., None]
    mean = np.sum(share * places, axis=0)
    spread = np.sum(share * (np.stack(variances) + (np.stack(places) - mean) ** 2), axis=0)
    return GenePosterior(found.mode, found.precision, mean, spread, total)


def given_dispersion(
    study: Study, hyper: Mapping[str, Float], component: int, found: GenePosterior, away: Float
) -> tuple[Float, Float, Float]:
    """Hold the dispersion's coordinate `away` [G] from its mode, and let the others follow by a Newton step.

    Returns
    -------
    psi, value, precision
        Coordinates [G, P], log density [G] and curvature [G, P, P] there.
    """
    e = 1
    others = np.delete(np.arange(study.at.P), e)
    at_mode = np.linalg.inv(found.precision)
    psi = found.mode + at_mode[:, :, e] / at_mode[:, e, [e]] * away[:, None]
    _, gradient, precision = _terms(study, hyper, component, psi)
    step = np.linalg.solve(precision[:, others[:, None], others], gradient[:, others, None])[..., 0]
    psi[:, others] += step * np.minimum(1.0, MAX_STEP / np.abs(step).max(axis=1, initial=1e-9))[:, None]
    value, _, precision = _terms(study, hyper, component, psi)
    return psi, value, precision


def covariance(study: Study, found: GenePosterior) -> Float:
    """Covariance [G, P, P] of the coordinates: that at the mode, with the dispersion's own spread."""
    at_mode = np.linalg.inv(found.precision)
    at_mode = (at_mode + at_mode.swapaxes(1, 2)) / 2
    if not study.at.trend:
        return np.asarray(at_mode)
    along = at_mode[:, :, 1] / at_mode[:, 1, [1]]
    own = np.maximum(found.variance[:, 1], LEAST_SPREAD * at_mode[:, 1, 1])
    more = own - at_mode[:, 1, 1]
    return np.asarray(at_mode + more[:, None, None] * along[:, :, None] * along[:, None, :])


def gene_gradient(study: Study, hyper: Mapping[str, Float], component: int, psi: Float) -> Float:
    """Gradient [G, P] of the log density of every gene in one component."""
    if study.cores:
        return study.cores[component].gene_slopes(psi, _for_core(study, hyper))[1]
    return _gradient(study, hyper, component, psi)[1]


def _for_core(study: Study, hyper: Mapping[str, Float]) -> dict[str, Any]:
    """Hyperparameters as the compiled core names them."""
    return {
        "nu": study.nu or 0.0,
        "mu_alpha": hyper["mu_alpha"],
        "sigma_alpha": hyper["sigma_alpha"],
        **dispersion_for_core(hyper, study.at.trend),
        "s": hyper["s"],
        "m": hyper.get("m", np.zeros(study.at.K)),
        "log_weight": np.zeros(1),
        "tau": hyper["tau"][study.full["nuisance_term"]],
        "log_f": hyper["log_f"],
    }


def _laplace(value: Float, precision: Float) -> Float:
    """Log of the integral of a Gaussian with this log height and curvature."""
    return np.asarray(value + 0.5 * precision.shape[-1] * np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(precision)[1])


def _ascend(study: Study, hyper: Mapping[str, Float], component: int, psi: Float, step: Float, value: Float) -> Float:
    """Halve the step of every gene whose density would fall."""
    size = np.ones(len(psi))
    for _ in range(8):
        trial = psi + size[:, None] * step
        worse = _log_joint(study, hyper, component, trial) < value - 1e-9
        if not worse.any():
            return trial
        size[worse] /= 4
    size[worse] = 0
    return np.asarray(psi + size[:, None] * step)


def predictor(study: Study, hyper: Mapping[str, Float], component: int, psi: Float) -> tuple[Float, Float]:
    """Log means [S, G] and log phi [G] in one component."""
    at, full = study.at, study.full
    h = dict(hyper)
    change = full["component_design"][component] @ at.effect(psi, h).T
    other = full["nuisance_design"] @ at.other_effects(psi, h, full["nuisance_term"]).T
    eta = psi[:, 0] + h["log_f"][:, None] + full["log_length"] + change + other
    return np.minimum(eta, 40.0), at.log_phi(psi, h)


def _log_prior(study: Study, hyper: Mapping[str, Float], psi: Float) -> Float:
    at = study.at
    lp = normal_logpdf(psi[:, 0], hyper["mu_alpha"], hyper["sigma_alpha"]) + normal_logpdf(psi[:, at.u], 0, 1).sum(1)
    if at.trend:
        lp = lp + normal_logpdf(psi[:, 1], 0, 1)
    d = psi[:, at.d]
    slab = normal_logpdf(d, 0, 1).sum(1) if study.nu is None else spherical_student_t_logpdf(d, study.nu)
    return np.asarray(lp + slab)


def _log_joint(study: Study, hyper: Mapping[str, Float], component: int, psi: Float) -> Float:
    if study.cores:
        return study.cores[component].gene_slopes(psi, _for_core(study, hyper))[0]
    eta, log_phi = predictor(study, hyper, component, psi)
    lik = nb2_logpmf(study.full["count"], np.exp(eta), np.exp(log_phi)).sum(axis=0)
    return np.asarray(lik + _log_prior(study, hyper, psi))


def coordinate_weights(study: Study, hyper: Mapping[str, Float], component: int, psi: Float) -> tuple[Float, Float]:
    """Return what one unit of each coordinate adds to the linear predictor, [S, P], and to log phi, [G, P]."""
    at, full = study.at, study.full
    design = np.zeros((at.S, at.P))
    design[:, 0] = 1.0
    design[:, at.d] = full["component_design"][component] * hyper["s"]
    design[:, at.u] = full["nuisance_design"] * hyper["tau"][full["nuisance_term"]]
    drive = np.zeros((len(psi), at.P))
    if at.trend:
        poisson_part = hyper["a1"] * np.exp(-psi[:, 0])
        drive[:, 0] = poisson_part / (hyper["a0"] + poisson_part)
        drive[:, 1] = hyper["sigma_phi"]
    return design, drive


@dataclass(frozen=True)
class _Slope:
    """What a gradient leaves for a curvature."""

    y: Float
    mu: Float
    phi: Float
    inside: Float
    design: Float
    drive: Float
    weight: Float


def _gradient(study: Study, hyper: Mapping[str, Float], component: int, psi: Float) -> tuple[Float, Float, _Slope]:
    """Log joint density [G], its gradient [G, P], and what the curvature needs."""
    at, full = study.at, study.full
    eta, log_phi = predictor(study, hyper, component, psi)
    y, mu, phi = full["count"], np.exp(eta), np.exp(log_phi)
    value = nb2_logpmf(y, mu, phi).sum(axis=0) + _log_prior(study, hyper, psi)

    # derivatives with respect to the linear predictor and to log phi
    shrunk = phi / (phi + mu)
    inside = special.digamma(y + phi) - special.digamma(phi) + np.log(shrunk) + (mu - y) / (phi + mu)

    design, drive = coordinate_weights(study, hyper, component, psi)
    gradient = ((y - mu) * shrunk).T @ design
    if at.trend:
        gradient += drive * (phi * inside).sum(axis=0)[:, None]

    # priors
    weight = np.ones((len(psi), at.P))
    location = np.zeros(at.P)
    weight[:, 0], location[0] = hyper["sigma_alpha"] ** -2.0, hyper["mu_alpha"]
    if study.nu is not None:
        r2 = np.sum(psi[:, at.d] ** 2, axis=1, keepdims=True)
        weight[:, at.d] = (study.nu + at.K) / (study.nu + r2)
    gradient -= weight * (psi - location)
    return value, gradient, _Slope(y, mu, phi, inside, design, drive, weight)


def _terms(study: Study, hyper: Mapping[str, Float], component: int, psi: Float) -> tuple[Float, Float, Float]:
    """Log joint density [G], its gradient [G, P] and a positive definite curvature [G, P, P]."""
    if study.cores:
        value, gradient, precision = study.cores[component].gene_terms(psi, _for_core(study, hyper))
        _match_slab(study, psi, precision)
        return value, gradient, precision
    value, gradient, at_psi = _gradient(study, hyper, component, psi)
    y, mu, phi, design, drive = at_psi.y, at_psi.mu, at_psi.phi, at_psi.design, at_psi.drive
    precision = np.einsum("sp,sg,sq->gpq", design, mu * phi / (phi + mu), design, optimize=True)
    if study.at.trend:
        outside = trigamma(y + phi) - trigamma(phi) + 1 / phi - 1 / (phi + mu)
        outside = outside - (mu - y) / (phi + mu) ** 2
        information = np.maximum(-(phi * at_psi.inside + phi**2 * outside).sum(axis=0), 0.0)
        precision += information[:, None, None] * drive[:, :, None] * drive[:, None, :]
    precision[:, range(study.at.P), range(study.at.P)] += at_psi.weight
    _match_slab(study, psi, precision)
    return value, gradient, precision


def _match_slab(study: Study, psi: Float, precision: Float) -> None:
    """Scale the Student-t's part of the curvature, in place, by :func:`_flat_match`."""
    if study.nu is None:
        return
    d = range(study.at.d.start, study.at.d.stop)
    r2 = np.sum(psi[:, study.at.d] ** 2, axis=1, keepdims=True)
    precision[:, d, d] += (_flat_match(study.nu, study.at.K) - 1) * (study.nu + study.at.K) / (study.nu + r2)


def _flat_match(nu: float, dimension: int) -> float:
    """Factor on the Student-t's curvature that makes Laplace's integral of the prior alone exact.

    The heavy tails hold mass that the curvature at the mode does not know of: 16 % for four degrees of freedom. Without
    the factor every unchanged gene counts against the slab, and its scale and weight are learned wrong.
    """
    log_height = special.gammaln((nu + dimension) / 2) - special.gammaln(nu / 2) - dimension / 2 * np.log(nu * np.pi)
    return float(2 * np.pi * np.exp(2 * log_height / dimension) / ((nu + dimension) / nu))
