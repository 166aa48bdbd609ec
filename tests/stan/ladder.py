"""The variants of the ladder that are compiled and rendered for the tests, and their maps to the real line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesexpr.distributions import sum_to_zero_basis
from bayesexpr.models import registry
from bayesexpr.models.base import Model

Floats = NDArray[np.float64]
Constrain = Callable[[Floats, Mapping[str, Any]], tuple[dict[str, Any], float]]


@dataclass(frozen=True)
class Variant:
    """A program with options, data to try it on, and its map from the real line with the log Jacobian."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    scenario: Mapping[str, Any] = field(default_factory=dict)
    size: int = 0
    constrain: Constrain = lambda x, data: ({}, 0.0)

    @property
    def model(self) -> Model:
        return registry.get(self.name)(options=self.options)

    @property
    def label(self) -> str:
        return "_".join([self.name, *self.options.values()])


def simplex(y: Floats) -> tuple[Floats, float]:
    """Softmax of sum-to-zero coordinates, as Stan takes a simplex, and its log Jacobian in all but one element."""
    K = len(y) + 1
    theta = special.softmax(-sum_to_zero_basis(K) @ y)
    return theta, float(np.log(theta).sum() + 0.5 * np.log(K))


def _tail(x: Floats, shape: Floats) -> tuple[Floats, Floats]:
    """How far a tail of the shape given takes the logarithm to the left, and its derivative in -x."""
    soft = np.log1p(np.exp(-x))
    return soft**2 / (2 * shape), soft * special.expit(-x) / shape


def _beta_binomial(x: Floats, data: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    # the default prior's shapes are 0.01 and 99.99; without the likelihood, data are nothing seen
    seen = data.get("seen", 1)
    a = 0.01 + seen * np.asarray(data["count"])
    b = 99.99 + seen * (np.asarray(data["total"]) - data["count"])
    width = np.sqrt(1 / np.maximum(a, 1) + 1 / np.maximum(b, 1))
    (left, left_slope), (right, right_slope) = _tail(x, a), _tail(-x, b)
    logit = np.log((1 + a) / (1 + b)) + width * x - left + right
    return {"logit_theta": logit}, float(np.log(width + left_slope + right_slope).sum())


def _gamma_poisson(x: Floats, data: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    # the default prior's shape and rate are 0.01149
    seen, shape = data.get("seen", 1), 0.01149
    exposure = seen * np.asarray(data["effective_length"]) * data["total"] / data["transcriptome_length"]
    a = shape + seen * np.asarray(data["count"])
    width = 1 / np.sqrt(np.maximum(a, 1))
    left, slope = _tail(x, a)
    log_relative = np.log((1 + a) / (shape + exposure)) + width * x - left
    return {"log_relative": log_relative}, float(np.log(width + slope).sum())


def _dirichlet_multinomial(x: Floats, data: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    theta, jacobian = simplex(x)
    return {"theta": theta}, jacobian


def _hyper(x: Floats) -> dict[str, Any]:
    # the default prior of mu_0 is normal(log 100, 1.17)
    return {"mu_0": np.log(100) + 1.17 * x[0], "sigma_mu": np.exp(x[1])}


def _expression(x: Floats, data: Mapping[str, Any], p: Mapping[str, Any], tau: float) -> tuple[Floats, float]:
    """log_expression and its log Jacobian: between what the fragments say and what the other genes do."""
    fragments = data.get("seen", 1) * np.sum(data["count"], axis=0)
    seen = np.log(fragments + 0.5) - data["log_length"] - special.logsumexp(data["log_size_factor"])
    information = fragments / (1 + tau * fragments / len(data["count"]))
    variance = 1 / (information + p["sigma_mu"] ** -2)
    mean = variance * (information * seen + p["mu_0"] / p["sigma_mu"] ** 2)
    return mean + np.sqrt(variance) * x, float(0.5 * np.log(variance).sum())


def _hierarchical(x: Floats, data: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    S = len(data["count"])
    p = _hyper(x) | {"tau": np.exp(x[2])}
    p["log_f"] = -sum_to_zero_basis(S) @ x[3 : S + 2] + np.asarray(data["log_size_factor"])
    p["log_expression"], jacobian = _expression(x[S + 2 :], data, p, p["tau"])
    return p, float(x[1] + x[2] + jacobian)


def _hierarchical_poisson(x: Floats, data: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    p = _hyper(x) | {"log_f": np.zeros(len(data["count"]))}
    p["log_expression"], jacobian = _expression(x[2:], data, p, 0.0)
    return p, float(x[1] + jacobian)


def _shrinkage(x: Floats, data: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    weight, jacobian = simplex(x)
    return {"weight": weight}, jacobian


def _matrix(x: Floats, K: int) -> Floats:
    """Stan reads a matrix column by column."""
    return x.reshape(K, -1).T


def _zinb(x: Floats, data: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    G, K = np.shape(data["count"])[1], np.shape(data["design"])[1]
    parts = np.split(x, np.cumsum([G, G * K, G, G * K, G]))
    names = ("alpha", "beta", "logit_pi", "pi_beta", "log_dispersion", "dispersion_beta")
    return {n: _matrix(v, K) if n.endswith("beta") else v for n, v in zip(names, parts, strict=True)}, 0.0


def _nb(x: Floats, data: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    G, K = np.shape(data["count"])[1], np.shape(data["design"])[1]
    return {"alpha": x[:G], "beta": _matrix(x[G : G + G * K], K), "log_dispersion": x[G + G * K :]}, 0.0


def _linear(x: Floats, data: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    G, K = np.shape(data["expression"])[1], np.shape(data["design"])[1]
    log_variance = x[G + G * K :]
    p = {"intercept": x[:G], "effect": _matrix(x[G : G + G * K], K), "variance": np.exp(log_variance)}
    return p, float(log_variance.sum())


def _variance(x: Floats, data: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    _, T, G = np.shape(data["expression"])
    sd = np.exp(x[G])
    p = {"mu": x[:G], "technical_sd": sd, "shape": np.exp(x[G + 1]), "scale": np.exp(x[G + 2])}
    root = np.sqrt(p["shape"])
    bound, z = root * np.log(sd**2 / T * p["shape"] / p["scale"]), x[G + 3 :]
    p["total_variance"] = p["scale"] / p["shape"] * np.exp((bound + np.logaddexp(0, z - bound)) / root)
    jacobian = np.log(p["total_variance"] / root) - np.logaddexp(0, bound - z)
    return p, float(x[G : G + 3].sum() + jacobian.sum())


TWO_GROUPS = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]] * 3
LENGTHS = {"effective_length": [300.0, 1200.0, 5000.0]}

COMPILED = (
    Variant("beta_binomial", {}, {"total": [100, 2000, 7]}, 3, _beta_binomial),
    Variant(
        "gamma_poisson",
        {},
        {"effective_length": [700.0, 50.0], "total": 2e5, "transcriptome_length": 1e5},
        2,
        _gamma_poisson,
    ),
    Variant("dirichlet_multinomial", {}, {"genes": 5, "total": 500}, 4, _dirichlet_multinomial),
    Variant(
        "hierarchical_expression",
        {},
        {"samples": 4, "genes": 3, **LENGTHS, "log_size_factor": [0.3, -0.3, 0.1, -0.1]},
        9,
        _hierarchical,
    ),
    Variant(
        "hierarchical_expression",
        {"likelihood": "poisson", "size_factors": "fixed"},
        {"samples": 2, "genes": 3, **LENGTHS},
        5,
        _hierarchical_poisson,
    ),
    Variant(
        "adaptive_shrinkage", {}, {"standard_error": [0.3, 0.6, 0.1, 2.0], "scale": [0.25, 0.5, 1.0]}, 3, _shrinkage
    ),
    Variant(
        "adaptive_shrinkage",
        {"shape": "half_uniform"},
        {"standard_error": [0.3, 0.6, 0.1, 2.0], "scale": [0.25, 2.0]},
        4,
        _shrinkage,
    ),
    Variant(
        "zero_inflated_negative_binomial",
        {"zero_inflation": "effects", "dispersion": "effects"},
        {"genes": 2, "design": TWO_GROUPS},
        18,
        _zinb,
    ),
    Variant("zero_inflated_negative_binomial", {"zero_inflation": "none"}, {"genes": 2, "design": TWO_GROUPS}, 8, _nb),
    Variant("gaussian_linear", {}, {"genes": 2, "design": TWO_GROUPS}, 8, _linear),
    Variant("gaussian_linear", {"errors": "student_t"}, {"genes": 2, "design": TWO_GROUPS}, 8, _linear),
    Variant("variance_components", {}, {"biological": 3, "technical": 2, "genes": 4}, 11, _variance),
)
"""Between them these go through every line of the templates but two; `size` counts unconstrained parameters."""
