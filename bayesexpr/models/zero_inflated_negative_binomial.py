"""zero_inflated_negative_binomial: single cells; the equations head the Stan program."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesexpr.distributions import Float, nb2_logpmf, nb2_rng, zinb_logpmf
from bayesexpr.errors import OptionError
from bayesexpr.models import checks
from bayesexpr.models.base import Complete, Draws, Model, Option, PriorSlot
from bayesexpr.models.priors import Normal
from bayesexpr.names import COEFFICIENT, GENE, SAMPLE


@dataclass(frozen=True)
class ZeroInflatedNegativeBinomial(Model):
    """Counts of single cells, gene by gene, with effects on mean, zero inflation and dispersion."""

    NAME: ClassVar[str] = "zero_inflated_negative_binomial"
    SUMMARY: ClassVar[str] = "single cells: effects on mean, zero inflation and dispersion of each gene"
    OPTIONS: ClassVar[Mapping[str, Option]] = {
        "zero_inflation": Option(
            ("effects", "constant", "none"), "structural zeros whose share depends on the design, or not; or none"
        ),
        "dispersion": Option(("constant", "effects"), "one dispersion a gene, or one that depends on the design"),
    }
    PRIORS: ClassVar[Mapping[str, PriorSlot]] = {
        "alpha": PriorSlot(Normal(0.0, 2.0), "an expressing cell has 1 count of the gene, 0.02 to 50 (95 %)"),
        "beta": PriorSlot(Normal(0.0, 1.0), "means of two kinds of cell differ mostly less than 7-fold (95 %)"),
        "logit_pi": PriorSlot(Normal(-2.0, 1.5), "12 % of zeros are structural, 0.7 % to 72 % (95 %)"),
        "pi_beta": PriorSlot(Normal(0.0, 1.0), "odds of a structural zero differ mostly less than 7-fold (95 %)"),
        "log_dispersion": PriorSlot(
            Normal(math.log(0.5), 1.0), "cells of a kind vary by sqrt(0.5) = 70 %, 27 % to 190 % (95 %)"
        ),
        "dispersion_beta": PriorSlot(Normal(0.0, 0.5), "dispersions differ mostly less than 2.7-fold (95 %)"),
    }
    DATA: ClassVar[Mapping[str, str]] = {
        "count": "[S][G] counts, cells x genes",
        "design": "[S][K] columns of the design without an intercept (default: none)",
        "log_size_factor": "[S] natural log of the cells' size factors (default: zeros)",
    }
    PARAMETERS: ClassVar[Mapping[str, str]] = {
        "alpha": "[G] log mean count of an expressing cell of size factor one",
        "beta": "[G][K] effects on the log mean",
        "logit_pi": "[G] log odds of a structural zero",
        "pi_beta": "[G][K] effects on these log odds",
        "log_dispersion": "[G] log dispersion",
        "dispersion_beta": "[G][K] effects on the log dispersion",
    }
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "alpha": (GENE,),
        "beta": (GENE, COEFFICIENT),
        "logit_pi": (GENE,),
        "pi_beta": (GENE, COEFFICIENT),
        "log_dispersion": (GENE,),
        "dispersion_beta": (GENE, COEFFICIENT),
        "count": (SAMPLE, GENE),
        "design": (SAMPLE, COEFFICIENT),
        "log_size_factor": (SAMPLE,),
    }
    SCENARIO: ClassVar[Mapping[str, Any]] = {"genes": 3, "design": [[0.0], [1.0]] * 60}

    def complete(self, data: Mapping[str, Any]) -> Complete:
        """Check the user's data and fill in the defaults."""
        if isinstance(data, Complete):
            return data
        checks.keys(self.NAME, data, self.DATA, ("count",))
        count = checks.whole("count", data["count"], ("S", "G"))
        return Complete(count=count, **_given(data, len(count)))

    def stan_data(self, data: Mapping[str, Any], *, prior_only: bool = False) -> dict[str, Any]:
        """Return the program's data block."""
        full = self.complete(data)
        S, G = full["count"].shape
        intercepts = ("alpha", "logit_pi", "log_dispersion")
        numbers = {f"{name}_{n}": getattr(self.prior(name), n) for name in intercepts for n in ("mean", "sd")}
        for name in ("beta", "pi_beta", "dispersion_beta"):
            if self.prior(name).mean != 0:
                raise OptionError(f"the prior of {name} has mean zero, as a design's signs are arbitrary.")
            numbers[f"{name}_sd"] = self.prior(name).sd
        return {"G": G, "S": S, "K": full["design"].shape[1], **full, **numbers, "prior_only": int(prior_only)}

    def simulate(self, data: Mapping[str, Any], rng: np.random.Generator) -> tuple[Draws, dict[str, Any]]:
        """Draw genes and counts; `data` holds the number of ``genes``, and ``design`` or the number of ``cells``."""
        G, S = int(data["genes"]), len(data["design"]) if "design" in data else int(data["cells"])
        given = {k: v for k, v in data.items() if k not in ("genes", "cells")}
        full = Complete(_given(given, S))
        K = full["design"].shape[1]
        p: Draws = {}
        for name in self._sampled():
            p[name] = self.prior(name).draw(rng, (G, K) if name.endswith("beta") else G)
        return p, {**given, "count": self.replicate(p, full, rng)}

    def conditions(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the design, if there is one, and the size factors, with the numbers of cells and genes."""
        given = super().conditions(data)
        cells, genes = self.complete(data)["count"].shape
        design = {} if given["design"].shape[1] else {"design"}
        return {k: v for k, v in given.items() if k not in design} | {"cells": cells, "genes": genes}

    def replicate(
        self, parameters: Mapping[str, Any], data: Mapping[str, Any], rng: np.random.Generator
    ) -> NDArray[Any]:
        """Draw counts [S, G] anew."""
        log_mu, phi, logit_pi = self._predictors(parameters, self.complete(data))
        count = nb2_rng(np.exp(log_mu), phi, rng)
        if logit_pi is None:
            return count
        return np.where(rng.uniform(size=count.shape) < special.expit(logit_pi), 0, count)

    def log_density(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> float:
        """Log joint density in all parameters and counts."""
        lp = sum(float(self.prior(name).logpdf(parameters[name]).sum()) for name in self._sampled())
        return lp + float(self.log_lik(parameters, data).sum())

    def log_lik(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> NDArray[np.float64]:
        """Log mass of each count [S, G]."""
        full = self.complete(data)
        log_mu, phi, logit_pi = self._predictors(parameters, full)
        if logit_pi is None:
            return nb2_logpmf(full["count"], np.exp(log_mu), phi)
        return zinb_logpmf(full["count"], log_mu, phi, logit_pi)

    def coords(self, data: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Return the numbers of cells, genes and columns of the design."""
        full = self.complete(data)
        S, G = full["count"].shape
        return {SAMPLE: list(range(S)), GENE: list(range(G)), COEFFICIENT: list(range(full["design"].shape[1]))}

    def _sampled(self) -> list[str]:
        inflation, dispersion = self.options["zero_inflation"], self.options["dispersion"]
        names = ["alpha", "beta", "log_dispersion"]
        names += ["logit_pi"] if inflation != "none" else []
        names += ["pi_beta"] if inflation == "effects" else []
        return names + (["dispersion_beta"] if dispersion == "effects" else [])

    def _predictors(self, p: Mapping[str, Any], full: Mapping[str, Any]) -> tuple[Float, Float, Float | None]:
        """Return log mu, phi and logit pi, each [S, G]; no logit pi where nothing is inflated."""
        X = np.asarray(full["design"], dtype=float)
        log_mu = p["alpha"] + np.asarray(full["log_size_factor"])[:, None] + X @ np.asarray(p["beta"]).T
        log_dispersion = np.broadcast_to(p["log_dispersion"], log_mu.shape)
        if self.options["dispersion"] == "effects":
            log_dispersion = log_dispersion + X @ np.asarray(p["dispersion_beta"]).T
        if self.options["zero_inflation"] == "none":
            return log_mu, np.exp(-log_dispersion), None
        logit_pi = np.broadcast_to(p["logit_pi"], log_mu.shape)
        if self.options["zero_inflation"] == "effects":
            logit_pi = logit_pi + X @ np.asarray(p["pi_beta"]).T
        return log_mu, np.exp(-log_dispersion), logit_pi


def _given(data: Mapping[str, Any], cells: int) -> dict[str, Any]:
    """Return the design and size factors that the counts are conditional on."""
    design = np.zeros((cells, 0))
    if "design" in data and np.size(data["design"]):
        design = checks.real("design", data["design"], (cells, "K"))
    log_sf = checks.real("log_size_factor", data.get("log_size_factor", np.zeros(cells)), (cells,))
    return {"design": design, "log_size_factor": log_sf}
