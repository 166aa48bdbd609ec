"""gaussian_linear: normalised log expression in a linear model; the equations head the Stan program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from bayesexpr.distributions import Float, normal_logpdf
from bayesexpr.errors import DesignError, OptionError
from bayesexpr.models import checks
from bayesexpr.models.base import Complete, Draws, Model, Option, PriorSlot
from bayesexpr.models.priors import InverseGamma, Normal
from bayesexpr.names import COEFFICIENT, GENE, SAMPLE

NU = 4.0
"""Degrees of freedom of the errors with errors = student_t."""


@dataclass(frozen=True)
class GaussianLinear(Model):
    """Linear model of log expression with conjugate priors, and the evidence for several effects at once."""

    NAME: ClassVar[str] = "gaussian_linear"
    SUMMARY: ClassVar[str] = "normalised log expression: conditions, batches and their interaction, gene by gene"
    OPTIONS: ClassVar[Mapping[str, Option]] = {
        "errors": Option(("normal", "student_t"), "residuals normal, or with the heavy tails of a t of 4 df")
    }
    PRIORS: ClassVar[Mapping[str, PriorSlot]] = {
        "intercept": PriorSlot(
            Normal(5.0, 20.0), "log2 expression is about 5; the sd is in residual sds and all but flat"
        ),
        "effect": PriorSlot(
            Normal(0.0, 2.0), "effects are mostly within four residual sds (95 %); the sd is in residual sds"
        ),
        "variance": PriorSlot(
            InverseGamma(3.0, 0.2), "replicates differ by 0.27 in log2 expression, 0.17 to 0.57 (95 %)"
        ),
    }
    DATA: ClassVar[Mapping[str, str]] = {
        "expression": "[S][G] normalised log expression, samples x genes",
        "design": "[S][K] columns of the design without an intercept",
    }
    PARAMETERS: ClassVar[Mapping[str, str]] = {
        "intercept": "[G] expression where all columns of the design are zero",
        "effect": "[G][K] effects",
        "variance": "[G] residual variance",
        "sigma": "[G] residual sd",
    }
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "intercept": (GENE,),
        "effect": (GENE, COEFFICIENT),
        "variance": (GENE,),
        "sigma": (GENE,),
        "expression": (SAMPLE, GENE),
        "design": (SAMPLE, COEFFICIENT),
    }
    OUTCOME: ClassVar[str] = "expression"
    SCENARIO: ClassVar[Mapping[str, Any]] = {
        "genes": 4,
        "design": [[c, b, c * b] for b in (0.0, 1.0) for c in (0.0, 1.0) for _ in range(3)],
    }

    def complete(self, data: Mapping[str, Any]) -> Complete:
        """Check the user's data."""
        if isinstance(data, Complete):
            return data
        checks.keys(self.NAME, data, self.DATA, self.DATA)
        expression = checks.real("expression", data["expression"], ("S", "G"))
        return Complete(expression=expression, design=checks.real("design", data["design"], (len(expression), "K")))

    def stan_data(self, data: Mapping[str, Any], *, prior_only: bool = False) -> dict[str, Any]:
        """Return the program's data block."""
        full = self.complete(data)
        (S, G), K = full["expression"].shape, full["design"].shape[1]
        intercept, effect, variance = (self.prior(name) for name in ("intercept", "effect", "variance"))
        if effect.mean != 0:
            raise OptionError("the prior of effect has mean zero, as a design's signs are arbitrary.")
        return {
            "G": G,
            "S": S,
            "K": K,
            **full,
            "intercept_mean": intercept.mean,
            "intercept_sd": intercept.sd,
            "effect_sd": effect.sd,
            "variance_shape": variance.shape,
            "variance_scale": variance.scale,
            "nu": NU,
            "prior_only": int(prior_only),
        }

    def simulate(self, data: Mapping[str, Any], rng: np.random.Generator) -> tuple[Draws, dict[str, Any]]:
        """Draw genes and expression; `data` holds ``design`` and the number of ``genes``."""
        design, G = np.asarray(data["design"], dtype=float), int(data["genes"])
        variance = self.prior("variance").draw(rng, G)
        sigma, intercept = np.sqrt(variance), self.prior("intercept")
        p: Draws = {"variance": variance, "sigma": sigma}
        p["intercept"] = intercept.mean + intercept.sd * sigma * rng.normal(size=G)
        p["effect"] = self.prior("effect").sd * sigma[:, None] * rng.normal(size=(G, design.shape[1]))
        return p, {"design": design, "expression": self.replicate(p, {"design": design}, rng)}

    def conditions(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the design and the number of genes."""
        return {**super().conditions(data), "genes": self.complete(data)["expression"].shape[1]}

    def replicate(
        self, parameters: Mapping[str, Any], data: Mapping[str, Any], rng: np.random.Generator
    ) -> NDArray[Any]:
        """Draw expression [S, G] anew."""
        mu = _mean(parameters, data)
        noise = rng.normal(size=mu.shape) if self.options["errors"] == "normal" else rng.standard_t(NU, size=mu.shape)
        return np.asarray(mu + np.sqrt(parameters["variance"]) * noise)

    def exact(self, data: Mapping[str, Any], draws: int, rng: np.random.Generator) -> Draws:
        """Draw from the normal-inverse-gamma posterior of every gene."""
        if self.options["errors"] != "normal":
            raise OptionError("gaussian_linear has a closed form with errors = normal only; fit it with nuts.")
        post = self._conjugate(data, self._every_column(data))
        variance = post.scale / rng.gamma(post.shape, size=(draws, len(post.scale)))
        z = rng.normal(size=(draws, *post.mean.shape))
        coefficient = post.mean + np.sqrt(variance)[..., None] * (z @ np.linalg.cholesky(post.covariance).T)
        return {
            "intercept": coefficient[..., 0],
            "effect": coefficient[..., 1:],
            "variance": variance,
            "sigma": np.sqrt(variance),
        }

    def log_evidence(self, data: Mapping[str, Any], columns: Sequence[int] | None = None) -> Float:
        """Log marginal likelihood of every gene [G], with effects of `columns` (all, unless given) and no others."""
        if self.options["errors"] != "normal":
            raise OptionError("the evidence is a closed form with errors = normal only.")
        kept = self._every_column(data) if columns is None else list(columns)
        post, variance, full = self._conjugate(data, kept), self.prior("variance"), self.complete(data)
        half_n = len(full["expression"]) / 2
        prior_log_det = -2 * np.log(self.prior("intercept").sd) - 2 * len(kept) * np.log(self.prior("effect").sd)
        return np.asarray(
            0.5 * np.linalg.slogdet(post.covariance)[1]
            + 0.5 * prior_log_det
            + variance.shape * np.log(variance.scale)
            - post.shape * np.log(post.scale)
            + special.gammaln(post.shape)
            - special.gammaln(variance.shape)
            - half_n * np.log(2 * np.pi)
        )

    def omnibus(self, data: Mapping[str, Any], columns: Sequence[int], prior_probability: float = 0.5) -> Float:
        """Posterior probability [G] that the effects of `columns` are not all zero.

        The question "is there a condition effect in any batch?" asks for the condition's column and its interaction.

        Parameters
        ----------
        data
            ``expression`` and ``design``.
        columns
            Columns of the design, from 0.
        prior_probability
            Of an effect, before the data.

        Raises
        ------
        DesignError
            A column does not exist.
        """
        every = self._every_column(data)
        for column in columns:
            if column not in every:
                raise DesignError(f"the design has columns 0 to {len(every) - 1}; {column} is none of them.")
        bayes_factor = self.log_evidence(data) - self.log_evidence(data, [k for k in every if k not in columns])
        return np.asarray(special.expit(bayes_factor + special.logit(prior_probability)))

    def log_density(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> float:
        """Log joint density in intercept, effect, variance and expression."""
        variance, intercept = np.asarray(parameters["variance"]), self.prior("intercept")
        sigma = np.sqrt(variance)
        lp = self.prior("variance").logpdf(variance).sum()
        lp += normal_logpdf(parameters["intercept"], intercept.mean, intercept.sd * sigma).sum()
        lp += normal_logpdf(parameters["effect"], 0.0, self.prior("effect").sd * sigma[:, None]).sum()
        return float(lp + self.log_lik(parameters, data).sum())

    def log_lik(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> NDArray[np.float64]:
        """Log density of each value of expression [S, G]."""
        full = self.complete(data)
        mu, sigma = _mean(parameters, full), np.sqrt(parameters["variance"])
        if self.options["errors"] == "normal":
            return normal_logpdf(full["expression"], mu, sigma)
        return np.asarray(stats.t.logpdf(full["expression"], NU, mu, sigma))

    def coords(self, data: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Return the numbers of samples, genes and columns of the design."""
        (S, G), K = np.shape(data["expression"]), np.shape(data["design"])[1]
        return {SAMPLE: list(range(S)), GENE: list(range(G)), COEFFICIENT: list(range(K))}

    def _every_column(self, data: Mapping[str, Any]) -> list[int]:
        return list(range(self.complete(data)["design"].shape[1]))

    def _conjugate(self, data: Mapping[str, Any], columns: Sequence[int]) -> _NormalInverseGamma:
        full, variance = self.complete(data), self.prior("variance")
        y = full["expression"]
        X = np.concatenate([np.ones((len(y), 1)), full["design"][:, list(columns)]], axis=1)
        prior_mean = np.zeros(X.shape[1])
        prior_mean[0] = self.prior("intercept").mean
        sds = np.array([self.prior("intercept").sd, *[self.prior("effect").sd] * len(columns)])
        covariance = np.linalg.inv(np.diag(sds**-2) + X.T @ X)
        residual = y - (X @ prior_mean)[:, None]
        mean = prior_mean + (covariance @ X.T @ residual).T
        # the residual sum of squares at the posterior mean plus what the prior adds, which does not cancel
        fitted = y - X @ mean.T
        squares = (fitted**2).sum(axis=0) + (((mean - prior_mean) / sds) ** 2).sum(axis=1)
        return _NormalInverseGamma(mean, covariance, variance.shape + len(y) / 2, variance.scale + squares / 2)


@dataclass(frozen=True)
class _NormalInverseGamma:
    """Posterior of a gene: coefficients N(mean[g], variance covariance), variance InverseGamma(shape, scale[g])."""

    mean: Float
    covariance: Float
    shape: float
    scale: Float


def _mean(parameters: Mapping[str, Any], data: Mapping[str, Any]) -> Float:
    """Linear predictor [S, G]."""
    return np.asarray(parameters["intercept"] + np.asarray(data["design"]) @ np.asarray(parameters["effect"]).T)
