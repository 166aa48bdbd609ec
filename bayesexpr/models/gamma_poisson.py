"""gamma_poisson: one gene in one sample, with its effective length; the equations head the Stan program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesexpr.distributions import log_gamma_variate, poisson_logpmf
from bayesexpr.models import checks
from bayesexpr.models.base import Complete, Draws, Model, PriorSlot
from bayesexpr.models.priors import Gamma


@dataclass(frozen=True)
class GammaPoisson(Model):
    """Rate of a gene's fragments per position of the transcriptome, with its conjugate posterior."""

    NAME: ClassVar[str] = "gamma_poisson"
    SUMMARY: ClassVar[str] = "one gene in one sample: the rate of its fragments, with its effective length"
    PRIORS: ClassVar[Mapping[str, PriorSlot]] = {
        "relative": PriorSlot(
            Gamma(0.01149, 0.01149),
            "a gene is expressed like the average position (E = 1); P(relative > 100) = 0.002: hardly any gene has 1 % "
            "of the total expression of 10^4 genes",
        )
    }
    DATA: ClassVar[Mapping[str, str]] = {
        "count": "[N] fragments of the gene",
        "effective_length": "[N] positions at which a fragment of the gene can start",
        "total": "fragments sequenced",
        "transcriptome_length": "sum of the effective lengths of all genes",
    }
    PARAMETERS: ClassVar[Mapping[str, str]] = {
        "relative": "[N] expression relative to the average position of the transcriptome",
        "log_relative": "[N] its natural logarithm",
        "rate": "[N] expected fragments per position, lambda",
        "expected_count": "[N] expected fragments, lambda times the effective length",
        "proportion": "[N] expected share of all fragments",
    }
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "relative": ("observation",),
        "log_relative": ("observation",),
        "rate": ("observation",),
        "expected_count": ("observation",),
        "proportion": ("observation",),
        "count": ("observation",),
        "effective_length": ("observation",),
    }
    ADAPT_DELTA: ClassVar[float] = 0.95
    SCENARIO: ClassVar[Mapping[str, Any]] = {
        "effective_length": [700.0],
        "total": 20_000_000,
        "transcriptome_length": 10_000_000,
    }

    def complete(self, data: Mapping[str, Any]) -> Complete:
        """Check the user's data."""
        if isinstance(data, Complete):
            return data
        checks.keys(self.NAME, data, self.DATA, self.DATA)
        count = checks.whole("count", data["count"], ("N",))
        length = checks.real("effective_length", data["effective_length"], (len(count),), above=0)
        sizes = {key: float(checks.real(key, data[key], (), above=0)) for key in ("total", "transcriptome_length")}
        return Complete(count=count, effective_length=length, **sizes)

    def stan_data(self, data: Mapping[str, Any], *, prior_only: bool = False) -> dict[str, Any]:
        """Return the program's data block."""
        full, prior = self.complete(data), self.prior("relative")
        numbers = {"relative_shape": prior.shape, "relative_rate": prior.rate, "prior_only": int(prior_only)}
        return {"N": len(full["count"]), **full, **numbers}

    def simulate(self, data: Mapping[str, Any], rng: np.random.Generator) -> tuple[Draws, dict[str, Any]]:
        """Draw expression and counts; `data` holds everything but the counts."""
        prior, size = self.prior("relative"), len(data["effective_length"])
        log_relative = log_gamma_variate(np.full(size, prior.shape), rng) - np.log(prior.rate)
        p = self.posterior({"log_relative": log_relative}, data)
        return p, {**data, "count": self.replicate(p, data, rng)}

    def replicate(
        self, parameters: Mapping[str, Any], data: Mapping[str, Any], rng: np.random.Generator
    ) -> NDArray[Any]:
        """Draw counts [N] anew."""
        return np.asarray(rng.poisson(parameters["expected_count"]))

    def exact(self, data: Mapping[str, Any], draws: int, rng: np.random.Generator) -> Draws:
        """Draw from Gamma(shape + count, rate + exposure)."""
        d = self.stan_data(data)
        shape = np.broadcast_to(d["relative_shape"] + d["count"], (draws, d["N"]))
        return self.posterior(
            {"log_relative": log_gamma_variate(shape, rng) - np.log(d["relative_rate"] + _exposure(d))}, data
        )

    def posterior(self, draws: Draws, data: Mapping[str, Any]) -> Draws:
        """Return the expression in all its units."""
        relative = np.exp(draws["log_relative"])
        expected = relative * _exposure(data)
        return {
            "relative": relative,
            "log_relative": draws["log_relative"],
            "rate": relative * (data["total"] / data["transcriptome_length"]),
            "expected_count": expected,
            "proportion": expected / data["total"],
        }

    def log_density(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> float:
        """Log joint density in the logarithm of ``relative`` and counts."""
        x, prior = np.asarray(parameters["log_relative"], dtype=float), self.prior("relative")
        constant = prior.shape * np.log(prior.rate) - special.gammaln(prior.shape)
        log_prior = prior.shape * x - prior.rate * np.exp(x) + constant
        return float(np.sum(log_prior) + np.sum(self.log_lik(parameters, data)))

    def log_lik(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> NDArray[np.float64]:
        """Log mass of each count [N]."""
        full = self.complete(data)
        return poisson_logpmf(full["count"], np.exp(parameters["log_relative"]) * _exposure(full))

    def coords(self, data: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Return the numbers of the observations."""
        return {"observation": list(range(len(data["effective_length"])))}


def _exposure(data: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return the expected count [N] of a gene that is expressed like the average position."""
    length = np.asarray(data["effective_length"], dtype=float)
    return np.asarray(length * (data["total"] / data["transcriptome_length"]))
