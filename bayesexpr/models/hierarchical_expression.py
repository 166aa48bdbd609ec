"""hierarchical_expression: a whole transcriptome, partially pooled; the equations head the Stan program."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bayesexpr.distributions import Float, nb2_logpmf, nb2_rng, normal_logpdf, poisson_logpmf, sum_to_zero_basis
from bayesexpr.models import checks
from bayesexpr.models.base import Complete, Draws, Model, Option, PriorSlot
from bayesexpr.models.priors import Exponential, HalfNormal, Normal
from bayesexpr.names import GENE, SAMPLE


@dataclass(frozen=True)
class HierarchicalExpression(Model):
    """Log-normal expression across genes, Poisson or negative binomial counts, replicates and size factors."""

    NAME: ClassVar[str] = "hierarchical_expression"
    SUMMARY: ClassVar[str] = "a whole transcriptome in replicates: expression shrunk towards the other genes"
    OPTIONS: ClassVar[Mapping[str, Option]] = {
        "likelihood": Option(
            ("negative_binomial", "poisson"), "counts with dispersion common to all genes, or without any"
        ),
        "size_factors": Option(
            ("estimated", "fixed"), "estimated around the size factors given, or taken as known (one sample: fixed)"
        ),
    }
    PRIORS: ClassVar[Mapping[str, PriorSlot]] = {
        "mu_0": PriorSlot(
            Normal(math.log(100.0), 1.17),
            "the typical gene has 100 fragments (set it from the planned depth), within a factor of 10 (95 %)",
        ),
        "sigma_mu": PriorSlot(
            HalfNormal(0.912), "P(sigma_mu > 2.35) = 0.01: hardly 1 % of genes lie over 100 times above the typical one"
        ),
        "tau": PriorSlot(Exponential(4.605), "P(tau > 1) = 0.01: noise rarely exceeds the mean"),
        "size_factors": PriorSlot(Normal(0.0, 0.1), "robust size factors are right within 10 % (one sd)"),
    }
    DATA: ClassVar[Mapping[str, str]] = {
        "count": "[S][G] counts, samples x genes",
        "effective_length": "[G] effective lengths (default: all alike)",
        "log_size_factor": "[S] natural log of robust size factors (default: zeros)",
    }
    PARAMETERS: ClassVar[Mapping[str, str]] = {
        "mu_0": "log expected count of the typical gene in an average library",
        "sigma_mu": "sd of log expression over genes",
        "tau": "dispersion 1 / phi (likelihood = negative_binomial)",
        "log_expression": "[G] log expected count of each gene, had it the typical (geometric mean) effective length",
        "log_f": "[S] log size factors",
    }
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "log_expression": (GENE,),
        "log_f": (SAMPLE,),
        "count": (SAMPLE, GENE),
        "effective_length": (GENE,),
        "log_size_factor": (SAMPLE,),
    }
    ADAPT_DELTA: ClassVar[float] = 0.95
    SCENARIO: ClassVar[Mapping[str, Any]] = {"samples": 4, "genes": 50}

    def complete(self, data: Mapping[str, Any]) -> Complete:
        """Check the user's data and fill in the defaults."""
        if isinstance(data, Complete):
            return data
        checks.keys(self.NAME, data, self.DATA, ("count",))
        count = checks.whole("count", data["count"], ("S", "G"))
        return Complete(count=count, **self._given(data, *count.shape))

    def _given(self, data: Mapping[str, Any], S: int, G: int) -> dict[str, Any]:
        """Return what the counts are conditional on, and the log lengths that the program sees."""
        length = checks.real("effective_length", data.get("effective_length", np.ones(G)), (G,), above=0)
        log_sf = checks.real("log_size_factor", data.get("log_size_factor", np.zeros(S)), (S,))
        log_length = np.log(length)
        return {
            "effective_length": length,
            "log_size_factor": log_sf,
            "log_length": log_length - log_length.mean(),
        }

    def stan_data(self, data: Mapping[str, Any], *, prior_only: bool = False) -> dict[str, Any]:
        """Return the program's data block."""
        full = self.complete(data)
        S, G = full["count"].shape
        mu_0 = self.prior("mu_0")
        return {
            "G": G,
            "S": S,
            "count": full["count"],
            "log_length": full["log_length"],
            "log_size_factor": full["log_size_factor"],
            "mu_0_mean": mu_0.mean,
            "mu_0_sd": mu_0.sd,
            "sigma_mu_sd": self.prior("sigma_mu").sd,
            "tau_rate": self.prior("tau").rate,
            "size_factor_sd": self.prior("size_factors").sd,
            "prior_only": int(prior_only),
        }

    def simulate(self, data: Mapping[str, Any], rng: np.random.Generator) -> tuple[Draws, dict[str, Any]]:
        """Draw hyperparameters, genes and counts; `data` holds the numbers ``samples`` and ``genes``, and the rest."""
        given = {k: v for k, v in data.items() if k not in ("samples", "genes")}
        S, G = int(data["samples"]), int(data["genes"])
        full = Complete(self._given(given, S, G))
        p: Draws = {"mu_0": self.prior("mu_0").draw(rng), "sigma_mu": self.prior("sigma_mu").draw(rng)}
        if self.options["likelihood"] == "negative_binomial":
            p["tau"] = self.prior("tau").draw(rng)
        p["log_expression"] = rng.normal(p["mu_0"], p["sigma_mu"], G)
        p["log_f"] = full["log_size_factor"]
        if self.options["size_factors"] == "estimated":
            p["log_f"] = p["log_f"] + sum_to_zero_basis(S) @ self.prior("size_factors").draw(rng, S - 1)
        return p, {**given, "count": self.replicate(p, full, rng)}

    def conditions(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return lengths and size factors, with the numbers of samples and genes."""
        samples, genes = self.complete(data)["count"].shape
        return {**super().conditions(data), "samples": samples, "genes": genes}

    def replicate(
        self, parameters: Mapping[str, Any], data: Mapping[str, Any], rng: np.random.Generator
    ) -> NDArray[Any]:
        """Draw counts [S, G] anew."""
        mu = np.exp(_log_mu(parameters, self.complete(data)))
        if self.options["likelihood"] == "poisson":
            return np.asarray(rng.poisson(mu))
        return nb2_rng(mu, 1 / np.asarray(parameters["tau"]), rng)

    def log_density(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> float:
        """Log joint density in mu_0, sigma_mu, log_expression, tau, the sum-to-zero part of log_f, and counts."""
        full = self.complete(data)
        lp = float(
            self.prior("mu_0").logpdf(parameters["mu_0"]) + self.prior("sigma_mu").logpdf(parameters["sigma_mu"])
        )
        lp += float(normal_logpdf(parameters["log_expression"], parameters["mu_0"], parameters["sigma_mu"]).sum())
        if self.options["likelihood"] == "negative_binomial":
            lp += float(self.prior("tau").logpdf(parameters["tau"]))
        if self.options["size_factors"] == "estimated":
            shift = sum_to_zero_basis(len(full["count"])).T @ (parameters["log_f"] - full["log_size_factor"])
            lp += float(self.prior("size_factors").logpdf(shift).sum())
        return lp + float(self.log_lik(parameters, full).sum())

    def log_lik(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> NDArray[np.float64]:
        """Log mass of each count [S, G]."""
        full = self.complete(data)
        mu = np.exp(_log_mu(parameters, full))
        if self.options["likelihood"] == "poisson":
            return poisson_logpmf(full["count"], mu)
        return nb2_logpmf(full["count"], mu, 1 / np.asarray(parameters["tau"]))

    def coords(self, data: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Return the numbers of samples and genes."""
        S, G = self.complete(data)["count"].shape
        return {SAMPLE: list(range(S)), GENE: list(range(G))}


def _log_mu(parameters: Mapping[str, Any], full: Mapping[str, Any]) -> Float:
    """Linear predictor [S, G]."""
    return np.asarray(parameters["log_expression"] + full["log_length"] + np.asarray(parameters["log_f"])[:, None])
