"""variance_components: biological and technical variance; the equations head the Stan program."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

from bayesexpr.distributions import Float, normal_logpdf
from bayesexpr.errors import InputError
from bayesexpr.models import checks
from bayesexpr.models.base import Complete, Draws, Model, PriorSlot
from bayesexpr.models.priors import HalfNormal, LogNormal, Normal
from bayesexpr.names import GENE


@dataclass(frozen=True)
class VarianceComponents(Model):
    """Total variance of each gene under an inverse gamma that all genes share, and its two parts."""

    NAME: ClassVar[str] = "variance_components"
    SUMMARY: ClassVar[str] = "biological and technical variance of log expression, shrunk towards all genes"
    PRIORS: ClassVar[Mapping[str, PriorSlot]] = {
        "mu": PriorSlot(Normal(5.0, 5.0), "log2 expression lies between -5 and 15 (95 %)"),
        "technical_sd": PriorSlot(HalfNormal(0.5), "P(technical_sd > 1) = 0.05: a measurement is right within 2-fold"),
        "shape": PriorSlot(
            LogNormal(math.log(3.0), 0.5), "other genes are worth 2 * 3 degrees of freedom, 2 to 16 (95 %)"
        ),
        "scale": PriorSlot(LogNormal(math.log(0.2), 1.0), "variances are about 0.2 / 3, within a factor of 7 (95 %)"),
    }
    DATA: ClassVar[Mapping[str, str]] = {
        "expression": "[R][T][G] log expression: biological replicates (2 or more) x technical replicates of each "
        "(2 or more) x genes"
    }
    PARAMETERS: ClassVar[Mapping[str, str]] = {
        "mu": "[G] mean log expression",
        "technical_sd": "sd of one measurement about its biological replicate",
        "shape": "of the inverse gamma of total variances",
        "scale": "of the inverse gamma of total variances",
        "total_variance": "[G] variance of the means of a biological replicate's measurements",
        "biological_variance": "[G] total variance minus the technical one of T measurements",
    }
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "mu": (GENE,),
        "total_variance": (GENE,),
        "biological_variance": (GENE,),
        "expression": ("biological_replicate", "technical_replicate", GENE),
    }
    OUTCOME: ClassVar[str] = "expression"
    ADAPT_DELTA: ClassVar[float] = 0.95
    SCENARIO: ClassVar[Mapping[str, Any]] = {"biological": 3, "technical": 2, "genes": 50}

    def complete(self, data: Mapping[str, Any]) -> Complete:
        """Check the user's data."""
        if isinstance(data, Complete):
            return data
        checks.keys(self.NAME, data, self.DATA, self.DATA)
        expression = checks.real("expression", data["expression"], ("R", "T", "G"))
        R, T, _ = expression.shape
        if R < 2 or T < 2:
            raise InputError(
                "biological and technical variance are told apart by at least two replicates of each kind; "
                f"expression has {R} biological and {T} technical ones."
            )
        return Complete(expression=expression)

    def stan_data(self, data: Mapping[str, Any], *, prior_only: bool = False) -> dict[str, Any]:
        """Return the program's data block: means over technical replicates, and squares about them."""
        expression = self.complete(data)["expression"]
        R, T, G = expression.shape
        mean = expression.mean(axis=1)
        shape, scale = self.prior("shape"), self.prior("scale")
        if not (math.isinf(shape.upper) and math.isinf(scale.upper)):
            raise InputError("the priors of shape and scale have no upper bound in this program; leave it out.")
        return {
            "G": G,
            "R": R,
            "T": T,
            "replicate_mean": mean,
            "technical_squares": float(((expression - mean[:, None]) ** 2).sum()),
            "mu_mean": self.prior("mu").mean,
            "mu_sd": self.prior("mu").sd,
            "technical_sd_sd": self.prior("technical_sd").sd,
            "shape_log_mean": shape.log_mean,
            "shape_log_sd": shape.log_sd,
            "scale_log_mean": scale.log_mean,
            "scale_log_sd": scale.log_sd,
            "prior_only": int(prior_only),
        }

    def simulate(self, data: Mapping[str, Any], rng: np.random.Generator) -> tuple[Draws, dict[str, Any]]:
        """Draw genes and expression; `data` holds the numbers ``biological``, ``technical`` and ``genes``."""
        R, T, G = (int(data[key]) for key in ("biological", "technical", "genes"))
        p: Draws = {"mu": self.prior("mu").draw(rng, G)}
        p |= {name: self.prior(name).draw(rng) for name in ("technical_sd", "shape", "scale")}
        least = p["technical_sd"] ** 2 / T
        # an inverse gamma above a bound, by inversion: 1 / V is a gamma below 1 / bound
        largest = special.gammainc(p["shape"], p["scale"] / least)
        precision = special.gammaincinv(p["shape"], rng.uniform(0, largest, G)) / p["scale"]
        p["total_variance"] = np.maximum(1 / precision, least)
        p["biological_variance"] = p["total_variance"] - least
        empty = {"expression": np.zeros((R, T, G))}
        return p, {"expression": self.replicate(p, empty, rng)}

    def conditions(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the numbers of replicates of both kinds and of genes."""
        return dict(zip(("biological", "technical", "genes"), self.complete(data)["expression"].shape, strict=True))

    def replicate(
        self, parameters: Mapping[str, Any], data: Mapping[str, Any], rng: np.random.Generator
    ) -> NDArray[Any]:
        """Draw expression [R, T, G] of new biological replicates."""
        R, T, G = np.shape(data["expression"])
        theta = rng.normal(parameters["mu"], np.sqrt(parameters["biological_variance"]), (R, G))
        return np.asarray(rng.normal(theta[:, None], parameters["technical_sd"], (R, T, G)))

    def posterior(self, draws: Draws, data: Mapping[str, Any]) -> Draws:
        """Return the parameters with the biological part of the total variance."""
        technical = draws["technical_sd"] ** 2 / np.shape(data["expression"])[1]
        biological = draws["total_variance"] - technical[..., None]
        return {**super().posterior(draws, data), "biological_variance": np.maximum(biological, 0.0)}

    def log_density(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> float:
        """Log joint density in mu, technical_sd, shape, scale, total_variance and expression."""
        lp = sum(float(np.sum(self.prior(k).logpdf(parameters[k]))) for k in ("mu", "technical_sd", "shape", "scale"))
        shape, scale = parameters["shape"], parameters["scale"]
        least = parameters["technical_sd"] ** 2 / np.shape(data["expression"])[1]
        prior = stats.invgamma(shape, scale=scale)
        lp += float(np.sum(prior.logpdf(parameters["total_variance"]) - prior.logsf(least)))
        return lp + float(self.log_lik(parameters, data).sum())

    def log_lik(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> NDArray[np.float64]:
        """Log density [R, G] of each biological replicate's measurements, which are dependent, together."""
        expression = self.complete(data)["expression"]
        T = expression.shape[1]
        mean, sd = expression.mean(axis=1), np.asarray(parameters["technical_sd"])
        about = ((expression - mean[:, None]) ** 2).sum(axis=1)
        # the mean of the T measurements times what is left of them: Helmert's contrasts, each N(0, sd)
        contrasts = -0.5 * about / sd**2 - (T - 1) * (np.log(sd) + 0.5 * np.log(2 * np.pi)) - 0.5 * np.log(T)
        return np.asarray(normal_logpdf(mean, parameters["mu"], np.sqrt(parameters["total_variance"])) + contrasts)

    def coords(self, data: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Return the numbers of replicates and genes."""
        dims = self.DIMS["expression"]
        return {d: list(range(n)) for d, n in zip(dims, np.shape(data["expression"]), strict=True)}


def shrunken_variance(sample_variance: ArrayLike, replicates: int, shape: float, scale: float) -> Float:
    """Posterior mean of total variances under InverseGamma(shape, scale), in closed form.

    (scale + (R - 1) S^2 / 2) / (shape + (R - 1) / 2 - 1); Smyth (2004), Stat Appl Genet Mol Biol 3:3.

    Parameters
    ----------
    sample_variance
        [G] S^2, the sample variance of the R replicate means.
    replicates
        R.
    shape, scale
        As :func:`estimate_prior` finds them.

    Raises
    ------
    InputError
        If the posterior has no mean: shape + (R - 1) / 2 is at most one.
    """
    half = (replicates - 1) / 2
    if not shape + half > 1:
        raise InputError(
            f"the posterior variance has a mean where shape + (R - 1) / 2 > 1; shape is {shape:g} and R {replicates}."
        )
    return np.asarray((scale + half * np.asarray(sample_variance, dtype=float)) / (shape + half - 1))


def estimate_prior(sample_variance: ArrayLike, replicates: int) -> tuple[float, float]:
    """Shape and scale of the inverse gamma across genes by maximum marginal likelihood.

    S^2 is (scale / shape) times an F variate of R - 1 and 2 shape degrees of freedom.

    Parameters
    ----------
    sample_variance
        [G] of at least three genes, above zero.
    replicates
        R, at least 2.
    """
    s2 = checks.real("sample_variance", sample_variance, ("G",), above=0)
    if len(s2) < 3 or replicates < 2:
        raise InputError(
            f"a distribution of variances is learned from three genes and two replicates or more; there are {len(s2)} "
            f"and {replicates}."
        )

    def loss(x: Float) -> float:
        shape, ratio = np.exp(x)
        return float(-stats.f.logpdf(s2 / ratio, replicates - 1, 2 * shape).sum() + len(s2) * x[1])

    start = np.array([np.log(2.0), np.log(np.median(s2))])
    found = optimize.minimize(loss, start, method="L-BFGS-B", bounds=[(-4.0, 12.0), (None, None)])
    shape, ratio = np.exp(found.x)
    return float(shape), float(shape * ratio)
