"""coverage_decay: 3' bias, the decay of coverage along transcripts; the equations head the Stan program."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bayesexpr.distributions import Float, nb2_logpmf, nb2_rng, poisson_logpmf
from bayesexpr.errors import InputError
from bayesexpr.models import checks
from bayesexpr.models.base import Complete, Draws, Model, Option, PriorSlot
from bayesexpr.models.priors import Exponential, Normal


@dataclass(frozen=True)
class CoverageDecay(Model):
    """Coverage at a distance from the 3' end, with one decay length per library."""

    NAME: ClassVar[str] = "coverage_decay"
    SUMMARY: ClassVar[str] = "3' bias: how far the reverse transcriptase goes before it falls off"
    OPTIONS: ClassVar[Mapping[str, Option]] = {
        "noise": Option(("negative_binomial", "poisson"), "counts with dispersion common to all positions, or without"),
    }
    PRIORS: ClassVar[Mapping[str, PriorSlot]] = {
        "log_c0": PriorSlot(
            Normal(math.log(100.0), 2.3), "a curve starts at 100 reads per position, within a factor of 90 (95 %)"
        ),
        "log_lambda": PriorSlot(
            Normal(math.log(3000.0), 1.5), "the enzyme goes 3,000 nt, within a factor of 19 (95 %): from bad to no bias"
        ),
        "dispersion": PriorSlot(Exponential(4.605), "P(dispersion > 1) = 0.01: noise rarely exceeds the mean"),
    }
    DATA: ClassVar[Mapping[str, str]] = {
        "count": "[N] reads at each position or bin",
        "distance": "[N] nt from the 3' end",
        "curve": "[N] number of the curve (a transcript in a library) the position is on, from 0 (default: one curve)",
        "library": "[J] number of the library of each curve, from 0 (default: one library)",
    }
    PARAMETERS: ClassVar[Mapping[str, str]] = {
        "decay_length": "[L] lambda: mean distance before the enzyme falls off, nt",
        "log_lambda": "[L] its natural logarithm",
        "initial_coverage": "[J] C0: expected reads at the 3' end",
        "log_c0": "[J] its natural logarithm",
        "dispersion": "dispersion 1 / phi (noise = negative_binomial)",
    }
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "count": ("position",),
        "distance": ("position",),
        "curve": ("position",),
        "library": ("curve_id",),
        "decay_length": ("library_id",),
        "log_lambda": ("library_id",),
        "initial_coverage": ("curve_id",),
        "log_c0": ("curve_id",),
    }
    SCENARIO: ClassVar[Mapping[str, Any]] = {
        "distance": [100.0 * k for k in range(20)] * 3,
        "curve": [k // 20 for k in range(60)],
        "library": [0, 0, 1],
    }

    def complete(self, data: Mapping[str, Any]) -> Complete:
        """Check the user's data and fill in the defaults."""
        if isinstance(data, Complete):
            return data
        checks.keys(self.NAME, data, self.DATA, ("count", "distance"))
        count = checks.whole("count", data["count"], ("N",))
        return Complete(count=count, **self._given(data, len(count)))

    def _given(self, data: Mapping[str, Any], N: int) -> dict[str, Any]:
        distance = checks.real("distance", data["distance"], (N,))
        if (distance < 0).any():
            first = int(np.argmax(distance < 0))
            raise InputError(f"distance is not negative: nt from the 3' end; distance[{first}] is {distance[first]:g}.")
        curve = checks.whole("curve", data.get("curve", np.zeros(N, dtype=np.int64)), (N,))
        J = int(curve.max()) + 1
        library = checks.whole("library", data.get("library", np.zeros(J, dtype=np.int64)), (J,))
        for name, values in (("curve", curve), ("library", library)):
            unused = np.flatnonzero(np.bincount(values) == 0)
            if len(unused):
                raise InputError(f"{name} numbers what there is from 0 without a gap; nothing has {name} {unused[0]}.")
        middle = np.bincount(curve, weights=distance) / np.bincount(curve)
        return {"distance": distance, "curve": curve, "library": library, "middle": middle}

    def stan_data(self, data: Mapping[str, Any], *, prior_only: bool = False) -> dict[str, Any]:
        """Return the program's data block."""
        full = self.complete(data)
        out = {
            "N": len(full["count"]),
            "J": len(full["library"]),
            "L": int(full["library"].max()) + 1,
            "count": full["count"],
            "distance": full["distance"],
            "curve": full["curve"] + 1,
            "library": full["library"] + 1,
            "middle": full["middle"],
            "prior_only": int(prior_only),
        }
        for name in ("log_c0", "log_lambda"):
            out |= {f"{name}_mean": self.prior(name).mean, f"{name}_sd": self.prior(name).sd}
        return out | {"dispersion_rate": self.prior("dispersion").rate}

    def simulate(self, data: Mapping[str, Any], rng: np.random.Generator) -> tuple[Draws, dict[str, Any]]:
        """Draw curves, libraries and counts; `data` holds all keys but ``count``."""
        full = self._given(data, len(data["distance"]))
        p: Draws = {
            "log_c0": self.prior("log_c0").draw(rng, len(full["library"])),
            "log_lambda": self.prior("log_lambda").draw(rng, int(full["library"].max()) + 1),
        }
        if self.options["noise"] == "negative_binomial":
            p["dispersion"] = self.prior("dispersion").draw(rng)
        p = self.posterior(p, full)
        return p, {**data, "count": self.replicate(p, Complete(full), rng)}

    def replicate(
        self, parameters: Mapping[str, Any], data: Mapping[str, Any], rng: np.random.Generator
    ) -> NDArray[Any]:
        """Draw counts [N] anew."""
        coverage = self._coverage(parameters, self.complete(data))
        if self.options["noise"] == "poisson":
            return np.asarray(rng.poisson(coverage))
        return nb2_rng(coverage, 1 / np.asarray(parameters["dispersion"]), rng)

    def posterior(self, draws: Draws, data: Mapping[str, Any]) -> Draws:
        """Return decay lengths and initial coverages with their logarithms."""
        made = {"decay_length": np.exp(draws["log_lambda"]), "initial_coverage": np.exp(draws["log_c0"])}
        return made | {name: value for name, value in draws.items() if name in self.PARAMETERS}

    def _coverage(self, parameters: Mapping[str, Any], full: Mapping[str, Any]) -> Float:
        hazard = np.exp(-np.asarray(parameters["log_lambda"], dtype=float))[full["library"]]
        start = np.asarray(parameters["log_c0"], dtype=float)[full["curve"]]
        return np.asarray(np.exp(start - full["distance"] * hazard[full["curve"]]))

    def log_density(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> float:
        """Log joint density in log_c0, log_lambda, dispersion and counts."""
        names = ["log_c0", "log_lambda"] + (["dispersion"] if self.options["noise"] == "negative_binomial" else [])
        prior = sum(float(np.sum(self.prior(name).logpdf(parameters[name]))) for name in names)
        return prior + float(self.log_lik(parameters, data).sum())

    def log_lik(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> Float:
        """Log mass of each count [N]."""
        full = self.complete(data)
        coverage = self._coverage(parameters, full)
        if self.options["noise"] == "poisson":
            return poisson_logpmf(full["count"], coverage)
        return nb2_logpmf(full["count"], coverage, 1 / np.asarray(parameters["dispersion"]))

    def coords(self, data: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Return the numbers of positions, curves and libraries."""
        full = data if "middle" in data else self._given(data, len(data["distance"]))
        libraries = int(np.max(full["library"])) + 1
        sizes = {"position": len(full["distance"]), "curve_id": len(full["library"]), "library_id": libraries}
        return {name: list(range(n)) for name, n in sizes.items()}
