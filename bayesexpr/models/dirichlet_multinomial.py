"""dirichlet_multinomial: all genes of one sample at once; the equations head the Stan program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bayesexpr.distributions import dirichlet_logpdf, multinomial_logpmf
from bayesexpr.errors import InputError
from bayesexpr.models import checks
from bayesexpr.models.base import Complete, Draws, Model, PriorSlot
from bayesexpr.models.priors import Dirichlet
from bayesexpr.names import GENE


@dataclass(frozen=True)
class DirichletMultinomial(Model):
    """Proportions of all genes of a sample, which sum to one, with their conjugate posterior."""

    NAME: ClassVar[str] = "dirichlet_multinomial"
    SUMMARY: ClassVar[str] = "all genes of one sample: their proportions, which sum to one"
    PRIORS: ClassVar[Mapping[str, PriorSlot]] = {
        "theta": PriorSlot(
            Dirichlet(2.5, 2.5),
            "genes are expressed about equally; of five genes one rarely takes more than twice its share "
            "(P(theta[i] > 0.4) = 0.05)",
        )
    }
    DATA: ClassVar[Mapping[str, str]] = {"count": "[G] fragments of each gene, at least two genes"}
    PARAMETERS: ClassVar[Mapping[str, str]] = {"theta": "[G] proportion of fragments of each gene"}
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {"theta": (GENE,), "count": (GENE,)}
    SCENARIO: ClassVar[Mapping[str, Any]] = {"genes": 5, "total": 500}

    def complete(self, data: Mapping[str, Any]) -> Complete:
        """Check the user's data."""
        if isinstance(data, Complete):
            return data
        checks.keys(self.NAME, data, self.DATA, self.DATA)
        count = checks.whole("count", data["count"], ("G",))
        if len(count) < 2:
            raise InputError("proportions need at least two genes; count has one. Use beta_binomial with its total.")
        if int(count.sum()) > checks.LARGEST_INTEGER:
            raise InputError(f"all counts together are at most 2^31 - 1; their sum is {int(count.sum())}.")
        return Complete(count=count)

    def stan_data(self, data: Mapping[str, Any], *, prior_only: bool = False) -> dict[str, Any]:
        """Return the program's data block."""
        count = self.complete(data)["count"]
        concentration = self.prior("theta").concentration(len(count))
        return {"G": len(count), "count": count, "concentration": concentration, "prior_only": int(prior_only)}

    def simulate(self, data: Mapping[str, Any], rng: np.random.Generator) -> tuple[Draws, dict[str, Any]]:
        """Draw proportions and counts; `data` holds ``genes`` and ``total``, the numbers of genes and fragments."""
        p: Draws = {"theta": rng.dirichlet(self.prior("theta").concentration(int(data["genes"])))}
        return p, {"count": rng.multinomial(int(data["total"]), p["theta"])}

    def conditions(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the numbers of genes and fragments."""
        count = self.complete(data)["count"]
        return {"genes": len(count), "total": int(count.sum())}

    def replicate(
        self, parameters: Mapping[str, Any], data: Mapping[str, Any], rng: np.random.Generator
    ) -> NDArray[Any]:
        """Draw counts [G] anew, with the same sum."""
        theta = np.asarray(parameters["theta"], dtype=float)
        return np.asarray(rng.multinomial(int(np.sum(data["count"])), theta / theta.sum()))

    def exact(self, data: Mapping[str, Any], draws: int, rng: np.random.Generator) -> Draws:
        """Draw from Dirichlet(concentration + count)."""
        d = self.stan_data(data)
        return {"theta": rng.dirichlet(d["concentration"] + d["count"], size=draws)}

    def log_density(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> float:
        """Log joint density in the first G - 1 proportions and counts.

        Raises
        ------
        InputError
            The proportions do not sum to one, or are not as many as the counts.
        """
        theta = checks.simplex("theta", parameters["theta"], len(data["count"]))
        prior = dirichlet_logpdf(theta, self.prior("theta").concentration(len(theta)))
        return float(prior + multinomial_logpmf(data["count"], theta))

    def log_lik(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> NDArray[np.float64]:
        """Log mass of the counts as one observation: genes of a sample are not independent given theta."""
        return multinomial_logpmf(data["count"], parameters["theta"])

    def coords(self, data: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Return the numbers of the genes."""
        return {GENE: list(range(len(data["count"])))}
