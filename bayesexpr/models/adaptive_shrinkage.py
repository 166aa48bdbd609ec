"""adaptive_shrinkage: effects from estimates and standard errors; the equations head the Stan program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from bayesexpr.distributions import Float, dirichlet_logpdf, normal_logpdf
from bayesexpr.models import checks
from bayesexpr.models.base import Complete, Draws, Model, Option, PriorSlot
from bayesexpr.models.priors import Dirichlet

SMALLEST_SCALE = 0.25
"""Least scale of the default grid, in median standard errors: even thousands of smaller effects look like zeros."""


@dataclass(frozen=True)
class AdaptiveShrinkage(Model):
    """Mixture of an exact zero and a grid of unimodal components, its weights learned from all effects."""

    NAME: ClassVar[str] = "adaptive_shrinkage"
    SUMMARY: ClassVar[str] = "shrunken effects and lfsr from estimates and standard errors of any source"
    OPTIONS: ClassVar[Mapping[str, Option]] = {
        "shape": Option(
            ("normal", "uniform", "half_uniform"),
            "components around zero: normals, uniforms, or uniforms on either side (asymmetric effects)",
        )
    }
    PRIORS: ClassVar[Mapping[str, PriorSlot]] = {
        "weight": PriorSlot(
            Dirichlet(10.0, 1.0),
            "each component is as likely as any other, but zero counts as if nine more effects had been seen there",
        )
    }
    DATA: ClassVar[Mapping[str, str]] = {
        "estimate": "[N] estimated effects",
        "standard_error": "[N] their standard errors, above zero",
        "scale": "[J] grid of scales, increasing (default: doubling from a quarter of the median standard error up to "
        "beyond the largest estimate)",
    }
    PARAMETERS: ClassVar[Mapping[str, str]] = {"weight": "[C] share of each component; the first is exactly zero"}
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "weight": ("component",),
        "estimate": ("effect",),
        "standard_error": ("effect",),
        "scale": ("scale",),
    }
    OUTCOME: ClassVar[str] = "estimate"
    SCENARIO: ClassVar[Mapping[str, Any]] = {"standard_error": [0.3] * 200, "scale": [0.25, 0.5, 1.0, 2.0]}

    def complete(self, data: Mapping[str, Any]) -> Complete:
        """Check the user's data and make the grid of scales."""
        if isinstance(data, Complete):
            return data
        checks.keys(self.NAME, data, self.DATA, ("estimate", "standard_error"))
        estimate = checks.real("estimate", data["estimate"], ("N",))
        error = checks.real("standard_error", data["standard_error"], (len(estimate),), above=0)
        scale = checks.real("scale", data.get("scale", default_scale(estimate, error)), ("J",), above=0)
        return Complete(estimate=estimate, standard_error=error, scale=scale)

    def stan_data(self, data: Mapping[str, Any], *, prior_only: bool = False) -> dict[str, Any]:
        """Return the program's data block."""
        full = self.complete(data)
        C = len(self._intervals(full["scale"])) + 1
        return {
            "N": len(full["estimate"]),
            **full,
            "J": len(full["scale"]),
            "C": C,
            "concentration": self.prior("weight").concentration(C),
            "prior_only": int(prior_only),
        }

    def simulate(self, data: Mapping[str, Any], rng: np.random.Generator) -> tuple[Draws, dict[str, Any]]:
        """Draw weights, effects and estimates; `data` holds ``standard_error`` and ``scale``."""
        error, scale = np.asarray(data["standard_error"], dtype=float), np.asarray(data["scale"], dtype=float)
        weight = rng.dirichlet(self.prior("weight").concentration(len(self._intervals(scale)) + 1))
        p: Draws = {"weight": weight, "effect": self._draw_effects(weight, scale, len(error), rng)}
        return p, {**data, "estimate": rng.normal(p["effect"], error)}

    def replicate(
        self, parameters: Mapping[str, Any], data: Mapping[str, Any], rng: np.random.Generator
    ) -> NDArray[Any]:
        """Draw new effects and their estimates [N]."""
        full = self.complete(data)
        error = full["standard_error"]
        return np.asarray(rng.normal(self._draw_effects(parameters["weight"], full["scale"], len(error), rng), error))

    def log_density(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> float:
        """Log joint density in the first C - 1 weights and the estimates.

        Raises
        ------
        InputError
            The weights do not sum to one.
        """
        weight = checks.simplex("weight", parameters["weight"], "C")
        prior = dirichlet_logpdf(weight, self.prior("weight").concentration(len(weight)))
        return float(prior + self.log_lik(parameters, data).sum())

    def log_lik(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> NDArray[np.float64]:
        """Log density of each estimate [N], its effect integrated out."""
        lp = self.component_log_lik(data) + np.log(parameters["weight"])
        return np.asarray(special.logsumexp(lp, axis=1))

    def component_log_lik(self, data: Mapping[str, Any]) -> Float:
        """Log density of each estimate under each component, [N, C]."""
        full = self.complete(data)
        estimate, error = full["estimate"][:, None], full["standard_error"][:, None]
        zero = normal_logpdf(estimate, 0, error)
        if self.options["shape"] == "normal":
            return np.concatenate([zero, normal_logpdf(estimate, 0, np.hypot(error, full["scale"]))], axis=1)
        low, high = self._intervals(full["scale"]).T
        probability = _log_interval((low - estimate) / error, (high - estimate) / error)
        return np.concatenate([zero, probability - np.log(high - low)], axis=1)

    def shrunken(self, weight: ArrayLike, data: Mapping[str, Any]) -> dict[str, Float]:
        """Posterior of every effect, averaged over draws of the weights.

        Parameters
        ----------
        weight
            [draw, C].

        Returns
        -------
        dict
            ``mean``, ``sd``, ``negative``, ``positive``, ``zero``: posterior mean, sd, and probabilities of the sign,
            each [N].
        """
        full = self.complete(data)
        lp = self.component_log_lik(full)
        density = np.exp(lp - lp.max(axis=1, keepdims=True))
        share = np.zeros_like(density)
        draws = np.atleast_2d(np.asarray(weight, dtype=float))
        for w in draws:
            # everything asked for is linear in the probabilities of the components, so their mean is enough
            joint = density * w
            share += joint / joint.sum(axis=1, keepdims=True)
        share /= len(draws)
        mean, variance, negative = self._component_moments(full)
        centre = (share[:, 1:] * mean).sum(axis=1)
        second = (share[:, 1:] * (variance + mean**2)).sum(axis=1)
        below = (share[:, 1:] * negative).sum(axis=1)
        return {
            "mean": centre,
            "sd": np.sqrt(np.maximum(second - centre**2, 0.0)),
            "negative": below,
            "positive": (share[:, 1:] * (1 - negative)).sum(axis=1),
            "zero": share[:, 0],
        }

    def coords(self, data: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Return numbers of effects and names of components."""
        full = self.complete(data)
        kind = "normal(0, {1:g})" if self.options["shape"] == "normal" else "uniform({0:g}, {1:g})"
        names = ["zero", *(kind.format(low, high) for low, high in self._intervals(full["scale"]))]
        return {"effect": list(range(len(full["estimate"]))), "component": names}

    def _intervals(self, scale: Float) -> Float:
        """Return both ends [C - 1, 2] of all components but the first; of a normal, minus and plus an sd."""
        both = np.stack([-scale, scale], axis=1)
        if self.options["shape"] != "half_uniform":
            return both
        none = np.zeros_like(scale)
        return np.concatenate([np.stack([-scale, none], axis=1), np.stack([none, scale], axis=1)])

    def _draw_effects(self, weight: Any, scale: Float, size: int, rng: np.random.Generator) -> Float:
        weight = np.asarray(weight, dtype=float)
        component = rng.choice(len(weight), size=size, p=weight / weight.sum())
        ends = np.concatenate([np.zeros((1, 2)), self._intervals(scale)])[component]
        if self.options["shape"] == "normal":
            return np.asarray(ends[:, 1] * rng.normal(size=size))
        return np.asarray(rng.uniform(ends[:, 0], ends[:, 1]))

    def _component_moments(self, full: Mapping[str, Any]) -> tuple[Float, Float, Float]:
        """Mean, variance and probability of a negative sign of each effect in each component but zero: [N, C - 1]."""
        estimate, error = full["estimate"][:, None], full["standard_error"][:, None]
        if self.options["shape"] == "normal":
            shrinkage = full["scale"] ** 2 / (full["scale"] ** 2 + error**2)
            mean, variance = shrinkage * estimate, shrinkage * error**2
            return mean, variance, stats.norm.cdf(0, mean, np.sqrt(variance))
        low, high = self._intervals(full["scale"]).T
        a, b = (low - estimate) / error, (high - estimate) / error
        moments = [_truncated_moments(a[:, j], b[:, j]) for j in range(len(low))]
        mean, variance = (np.stack(values, axis=1) for values in zip(*moments, strict=True))
        below = _log_interval(a, np.minimum(b, -estimate / error)) - _log_interval(a, b)
        negative = np.where(low >= 0, 0.0, np.where(high <= 0, 1.0, np.exp(np.minimum(below, 0.0))))
        return np.clip(estimate + error * mean, low, high), error**2 * variance, negative


def default_scale(estimate: Float, standard_error: Float) -> Float:
    """Grid of scales: doubling from a quarter of the median standard error until the largest estimate is inside."""
    smallest = SMALLEST_SCALE * float(np.median(standard_error))
    reach = float(np.max(np.abs(estimate) + 3 * standard_error))
    steps = max(1, int(np.ceil(np.log2(reach / smallest))))
    return np.asarray(smallest * 2.0 ** np.arange(steps + 1), dtype=float)


def _log_interval(a: Float, b: Float) -> Float:
    """Log probability of a standard normal in [a, b], taken in the lower tail, where it does not cancel."""
    flip = a > 0
    high, low = special.log_ndtr(np.where(flip, -a, b)), special.log_ndtr(np.where(flip, -b, a))
    with np.errstate(divide="ignore"):
        return np.asarray(high + np.log(-np.expm1(np.minimum(low - high, 0.0))))


def _truncated_moments(a: Float, b: Float) -> tuple[Float, Float]:
    """Mean and variance of a standard normal within [a, b].

    The usual formula cancels in a narrow interval, where the density is close to a low polynomial: there it is
    integrated by Gauss and Legendre's rule.
    """
    middle, half = (a + b) / 2, (b - a) / 2
    narrow = (half < 2) & (np.abs(middle) * half < 10)
    t, w = np.polynomial.legendre.leggauss(40)
    m, h = np.where(narrow, middle, 0.0)[:, None], np.where(narrow, half, 1.0)[:, None]
    weight = w * np.exp(-m * h * t - (h * t) ** 2 / 2)
    weight = weight / weight.sum(axis=1, keepdims=True)
    centre = (weight * t).sum(axis=1, keepdims=True)
    spread = (weight * (t - centre) ** 2).sum(axis=1)
    log_whole = _log_interval(a, b)
    at_a, at_b = (np.exp(np.minimum(-(x**2) / 2 - 0.5 * np.log(2 * np.pi) - log_whole, 700.0)) for x in (a, b))
    mean = np.where(narrow, middle + half * centre[:, 0], at_a - at_b)
    variance = np.where(narrow, half**2 * spread, 1 + a * at_a - b * at_b - mean**2)
    return mean, np.maximum(variance, 0.0)
