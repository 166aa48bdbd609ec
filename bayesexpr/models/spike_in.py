"""spike_in: molecules per sample or cell from spiked standards; the equations head the Stan program."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bayesexpr.distributions import Float, nb2_logpmf, nb2_rng, normal_logpdf, poisson_logpmf
from bayesexpr.errors import InputError
from bayesexpr.models import checks
from bayesexpr.models.base import Complete, Draws, Model, Option, PriorSlot
from bayesexpr.models.priors import Exponential, LogNormal, Normal
from bayesexpr.names import SAMPLE

AVOGADRO_ATTOMOLE = 602_214.076
"""Molecules in an attomole, the unit of the concentrations of the ERCC mixes."""


@dataclass(frozen=True)
class SpikeIn(Model):
    """Capture efficiency of samples and affinity of features, learned from standards, and molecules of all else."""

    NAME: ClassVar[str] = "spike_in"
    SUMMARY: ClassVar[str] = "absolute quantification: molecules per sample or cell from spiked standards"
    OPTIONS: ClassVar[Mapping[str, Option]] = {
        "noise": Option(("negative_binomial", "poisson"), "counts with dispersion common to all features, or without"),
    }
    PRIORS: ClassVar[Mapping[str, PriorSlot]] = {
        "log_capture": PriorSlot(
            Normal(math.log(0.01), 3.0), "one molecule in 100 is counted, within a factor of 360 (95 %)"
        ),
        "capture_spread": PriorSlot(Normal(0.0, 1.0), "samples differ in capture by a factor of 2.7 (one sd)"),
        "affinity_sd": PriorSlot(
            LogNormal(math.log(0.7), 0.5), "features differ by a factor of exp(0.7) = 2 (one sd); known within 2.7-fold"
        ),
        "log_molecules": PriorSlot(
            Normal(math.log(1000.0), 4.0), "a target typically has 1,000 molecules, within a factor of 2,500 (95 %)"
        ),
        "change": PriorSlot(Normal(0.0, 1.5), "samples differ in a target's molecules by a factor of 4.5 (one sd)"),
        "dispersion": PriorSlot(Exponential(4.605), "P(dispersion > 1) = 0.01: noise rarely exceeds the mean"),
    }
    DATA: ClassVar[Mapping[str, str]] = {
        "count": "[S][F] counts, samples x features, standards and targets",
        "molecules": "[S][F] molecules of each standard in each sample; 0 in all samples marks a target to be measured",
        "effective_length": "[F] effective lengths (default: counts do not depend on length, as with UMIs of 3' ends)",
    }
    PARAMETERS: ClassVar[Mapping[str, str]] = {
        "log_capture": "[S] log of the counts expected per molecule of a feature of typical length",
        "affinity": "[F] log of how much better than the typical feature each is captured",
        "affinity_sd": "sd of the affinities",
        "log_molecules": "[S][H] natural log of the molecules of each target",
        "dispersion": "dispersion 1 / phi (noise = negative_binomial)",
    }
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "count": (SAMPLE, "feature"),
        "molecules": (SAMPLE, "feature"),
        "effective_length": ("feature",),
        "log_capture": (SAMPLE,),
        "affinity": ("feature",),
        "log_molecules": (SAMPLE, "target"),
    }
    SCENARIO: ClassVar[Mapping[str, Any]] = {"molecules": [[10.0, 100, 1000, 10000, 100000, 0, 0]] * 3}

    def complete(self, data: Mapping[str, Any]) -> Complete:
        """Check the user's data and fill in the defaults."""
        if isinstance(data, Complete):
            return data
        checks.keys(self.NAME, data, self.DATA, ("count", "molecules"))
        count = checks.whole("count", data["count"], ("S", "F"))
        return Complete(count=count, **self._given(data, count.shape))

    def _given(self, data: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
        molecules = checks.real("molecules", data["molecules"], shape)
        negative = np.argwhere(molecules < 0)
        if len(negative):
            s, f = negative[0]
            raise InputError(f"a number of molecules is not negative; molecules[{s}][{f}] is {molecules[s, f]:g}.")
        known = molecules > 0
        mixed = np.flatnonzero(known.any(axis=0) & ~known.all(axis=0))
        if len(mixed):
            sample = int(np.argmin(known[:, mixed[0]]))
            raise InputError(
                "a feature is a standard in all samples or a target in all; feature "
                f"{mixed[0]} has molecules in some samples and 0 in sample {sample}. Leave out standards not added."
            )
        if not known.any():
            raise InputError("there is at least one standard: a feature whose molecules are known; all are 0.")
        length = checks.real("effective_length", data.get("effective_length", np.ones(shape[1])), (shape[1],), above=0)
        log_length = np.log(length)
        return {
            "molecules": molecules,
            "effective_length": length,
            "log_length": log_length - log_length.mean(),
            "standard": known.all(axis=0),
        }

    def stan_data(self, data: Mapping[str, Any], *, prior_only: bool = False) -> dict[str, Any]:
        """Return the program's data block, with coordinates in units of about what the counts know."""
        full = self.complete(data)
        for name in ("change", "capture_spread"):
            if self.prior(name).mean != 0:
                raise InputError(f"the prior of {name} has mean 0, for what is typical is learned: give normal(0, sd).")
        standard, count, log_length = full["standard"], full["count"], full["log_length"]
        known, wanted = count[:, standard], count[:, ~standard]
        exposure = full["molecules"][:, standard] * np.exp(log_length[standard])
        capture = np.log((known.sum(axis=1) + 0.5) / exposure.sum(axis=1))
        shift, noise = capture - capture[0], 1 / (known.sum(axis=1) + 0.5)
        seen = (exposure * np.exp(shift)[:, None]).sum(axis=0)
        log_yield = np.log((known.sum(axis=0) + 0.5) / seen)
        affinity_sd = self.prior("affinity_sd")
        if not math.isinf(affinity_sd.upper):
            raise InputError("the prior of affinity_sd has no upper bound in this program; leave it out.")
        capture_prior, molecules = self.prior("log_capture"), self.prior("log_molecules")
        return {
            "S": count.shape[0],
            "G": known.shape[1],
            "H": wanted.shape[1],
            "standard_count": known,
            "target_count": wanted,
            "log_molecules": np.log(full["molecules"][:, standard]),
            "standard_log_length": log_length[standard],
            "target_log_length": log_length[~standard],
            "level_center": float(np.median(log_yield)),
            "shift_center": shift[1:],
            "shift_variance": noise[1:] + noise[0],
            "yield_center": log_yield,
            "yield_variance": 1 / (known.sum(axis=0) + 0.5),
            "seen_center": np.log(wanted + 0.5) - log_length[~standard],
            "seen_variance": 1 / (wanted + 0.5),
            "log_capture_mean": capture_prior.mean,
            "log_capture_sd": capture_prior.sd,
            "capture_spread": self.prior("capture_spread").sd,
            "log_affinity_sd_mean": affinity_sd.log_mean,
            "log_affinity_sd_sd": affinity_sd.log_sd,
            "log_molecules_mean": molecules.mean,
            "log_molecules_sd": molecules.sd,
            "change_sd": self.prior("change").sd,
            "dispersion_rate": self.prior("dispersion").rate,
            "prior_only": int(prior_only),
        }

    def simulate(self, data: Mapping[str, Any], rng: np.random.Generator) -> tuple[Draws, dict[str, Any]]:
        """Draw samples, features, targets and counts; `data` holds all keys but ``count``."""
        full = self._given(data, np.shape(data["molecules"]))
        S, F = full["molecules"].shape
        usual = self.prior("log_capture").draw(rng)
        p: Draws = {"log_capture": usual + self.prior("capture_spread").draw(rng, S)}
        p["affinity_sd"] = self.prior("affinity_sd").draw(rng)
        p["affinity"] = rng.normal(0, p["affinity_sd"], F)
        H = int((~full["standard"]).sum())
        p["log_molecules"] = self.prior("log_molecules").draw(rng, H) + self.prior("change").draw(rng, (S, H))
        if self.options["noise"] == "negative_binomial":
            p["dispersion"] = self.prior("dispersion").draw(rng)
        return p, {**data, "count": self.replicate(p, Complete(full), rng)}

    def replicate(
        self, parameters: Mapping[str, Any], data: Mapping[str, Any], rng: np.random.Generator
    ) -> NDArray[Any]:
        """Draw counts [S, F] anew."""
        mu = np.exp(self._log_mu(parameters, self.complete(data)))
        if self.options["noise"] == "poisson":
            return np.asarray(rng.poisson(mu))
        return nb2_rng(mu, 1 / np.asarray(parameters["dispersion"]), rng)

    def posterior(self, draws: Draws, data: Mapping[str, Any]) -> Draws:
        """Return the affinities in the order of the features, and the targets' molecules."""
        standard = self.complete(data)["standard"]
        affinity = np.empty((*draws["affinity_sd"].shape, len(standard)))
        affinity[..., standard], affinity[..., ~standard] = draws["standard_affinity"], draws["target_affinity"]
        kept = {name: draws[name] for name in ("log_capture", "affinity_sd", "dispersion") if name in draws}
        made: Draws = {"affinity": affinity, "log_molecules": draws["log_target_molecules"]}
        return made | kept

    def _log_mu(self, parameters: Mapping[str, Any], full: Mapping[str, Any]) -> Float:
        log_molecules = np.empty(full["molecules"].shape)
        standard = full["standard"]
        log_molecules[:, standard] = np.log(full["molecules"][:, standard])
        log_molecules[:, ~standard] = parameters["log_molecules"]
        capture = np.asarray(parameters["log_capture"])[:, None]
        return np.asarray(capture + log_molecules + parameters["affinity"] + full["log_length"])

    def log_density(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> float:
        """Log joint density in all of ``PARAMETERS`` and counts."""
        names = ["affinity_sd"]
        names += ["dispersion"] if self.options["noise"] == "negative_binomial" else []
        lp = sum(float(np.sum(self.prior(name).logpdf(parameters[name]))) for name in names)
        lp += self._alike(parameters["log_capture"][:, None], "log_capture", "capture_spread")
        lp += self._alike(np.asarray(parameters["log_molecules"]), "log_molecules", "change")
        lp += float(normal_logpdf(parameters["affinity"], 0, parameters["affinity_sd"]).sum())
        return lp + float(self.log_lik(parameters, data).sum())

    def _alike(self, values: Float, typical_name: str, change: str) -> float:
        """Log density of values [S, n] that are alike over samples: each column has one typical value, and changes."""
        typical, S = self.prior(typical_name), len(values)
        covariance = np.full((S, S), typical.sd**2) + self.prior(change).sd ** 2 * np.eye(S)
        return float(np.sum(stats.multivariate_normal(np.full(S, typical.mean), covariance).logpdf(values.T)))

    def log_lik(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> Float:
        """Log mass of each count [S, F]."""
        full = self.complete(data)
        mu = np.exp(self._log_mu(parameters, full))
        if self.options["noise"] == "poisson":
            return poisson_logpmf(full["count"], mu)
        return nb2_logpmf(full["count"], mu, 1 / np.asarray(parameters["dispersion"]))

    def coords(self, data: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Return the numbers of samples and features, and of the features that are targets."""
        molecules = np.asarray(data["molecules"])
        S, F = molecules.shape
        targets = np.flatnonzero((molecules == 0).all(axis=0)).tolist()
        return {SAMPLE: list(range(S)), "feature": list(range(F)), "target": targets}
