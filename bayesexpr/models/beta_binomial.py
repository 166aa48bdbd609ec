"""beta_binomial: one gene in one sample, as a proportion of the fragments; the equations head the Stan program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesexpr.distributions import binomial_logit_logpmf, log_gamma_variate
from bayesexpr.errors import InputError
from bayesexpr.models import checks
from bayesexpr.models.base import Complete, Draws, Model, PriorSlot
from bayesexpr.models.priors import Beta


@dataclass(frozen=True)
class BetaBinomial(Model):
    """Proportion of a sample's fragments that come from a gene, with its conjugate posterior."""

    NAME: ClassVar[str] = "beta_binomial"
    SUMMARY: ClassVar[str] = "one gene in one sample: its proportion of the sequenced fragments"
    PRIORS: ClassVar[Mapping[str, PriorSlot]] = {
        "theta": PriorSlot(
            Beta(0.01, 99.99),
            "the average of 10^4 expressed genes has 10^-4 of the fragments; P(theta > 0.01) = 0.002: hardly any gene "
            "is two orders of magnitude above that",
        )
    }
    DATA: ClassVar[Mapping[str, str]] = {
        "count": "[N] fragments of the gene, at most total",
        "total": "[N] fragments sequenced",
    }
    PARAMETERS: ClassVar[Mapping[str, str]] = {
        "theta": "[N] proportion of fragments that come from the gene",
        "logit_theta": "[N] its log odds",
    }
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "theta": ("observation",),
        "logit_theta": ("observation",),
        "count": ("observation",),
        "total": ("observation",),
    }
    ADAPT_DELTA: ClassVar[float] = 0.95
    SCENARIO: ClassVar[Mapping[str, Any]] = {"total": [20_000_000]}

    def complete(self, data: Mapping[str, Any]) -> Complete:
        """Check the user's data."""
        if isinstance(data, Complete):
            return data
        checks.keys(self.NAME, data, self.DATA, self.DATA)
        count = checks.whole("count", data["count"], ("N",))
        total = checks.whole("total", data["total"], (len(count),))
        above = np.flatnonzero(count > total)
        if above.size:
            i = int(above[0])
            raise InputError(
                f"count is at most total; count[{i}] is {count[i]} of total[{i}] = {total[i]}"
                f"{checks.others(above.size)}. Are the two keys swapped?"
            )
        return Complete(count=count, total=total)

    def stan_data(self, data: Mapping[str, Any], *, prior_only: bool = False) -> dict[str, Any]:
        """Return the program's data block."""
        full, prior = self.complete(data), self.prior("theta")
        shapes = {"theta_a": prior.a, "theta_b": prior.b}
        return {"N": len(full["count"]), **full, **shapes, "prior_only": int(prior_only)}

    def simulate(self, data: Mapping[str, Any], rng: np.random.Generator) -> tuple[Draws, dict[str, Any]]:
        """Draw proportions and counts; `data` holds ``total``."""
        total = checks.whole("total", data["total"], ("N",))
        prior = self.prior("theta")
        p: Draws = {"logit_theta": _logit_beta(np.full(len(total), prior.a), np.full(len(total), prior.b), rng)}
        p["theta"] = special.expit(p["logit_theta"])
        return p, {"total": total, "count": self.replicate(p, {"total": total}, rng)}

    def replicate(
        self, parameters: Mapping[str, Any], data: Mapping[str, Any], rng: np.random.Generator
    ) -> NDArray[Any]:
        """Draw counts [N] anew."""
        return np.asarray(rng.binomial(np.asarray(data["total"]), parameters["theta"]))

    def exact(self, data: Mapping[str, Any], draws: int, rng: np.random.Generator) -> Draws:
        """Draw from Beta(a + count, b + total - count)."""
        d = self.stan_data(data)
        shape = (draws, d["N"])
        a = np.broadcast_to(d["theta_a"] + d["count"], shape)
        logit = _logit_beta(a, np.broadcast_to(d["theta_b"] + d["total"] - d["count"], shape), rng)
        return {"theta": special.expit(logit), "logit_theta": logit}

    def posterior(self, draws: Draws, data: Mapping[str, Any]) -> Draws:
        """Return proportions computed from the log odds, which keep small ones apart from zero."""
        return {"theta": special.expit(draws["logit_theta"]), "logit_theta": draws["logit_theta"]}

    def log_density(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> float:
        """Log joint density in the log odds and counts."""
        x, prior = np.asarray(parameters["logit_theta"], dtype=float), self.prior("theta")
        log_odds = prior.a * special.log_expit(x) + prior.b * special.log_expit(-x) - special.betaln(prior.a, prior.b)
        return float(np.sum(log_odds) + np.sum(self.log_lik(parameters, data)))

    def log_lik(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> NDArray[np.float64]:
        """Log mass of each count [N]."""
        full = self.complete(data)
        return binomial_logit_logpmf(full["count"], full["total"], parameters["logit_theta"])

    def coords(self, data: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Return the numbers of the observations."""
        return {"observation": list(range(len(data["total"])))}


def _logit_beta(a: NDArray[Any], b: NDArray[Any], rng: np.random.Generator) -> NDArray[np.float64]:
    """Log odds of beta variates: the difference of two log-gamma variates."""
    return np.asarray(log_gamma_variate(a, rng) - log_gamma_variate(b, rng))
