"""langmuir: microarray intensity against concentration, and back; the equations head the Stan program."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bayesexpr.distributions import Float, normal_logpdf
from bayesexpr.errors import InputError
from bayesexpr.models import checks
from bayesexpr.models.base import Complete, Draws, Model, Option, PriorSlot
from bayesexpr.models.isotherm_maps import Maps, from_standards, without_data
from bayesexpr.models.priors import HalfNormal, LogNormal, Normal

SHAPES = ("log_background", "log_amplitude", "log_half_saturation")


@dataclass(frozen=True)
class Langmuir(Model):
    """Isotherms of probes over arrays, with multiplicative and additive error and inverse prediction."""

    NAME: ClassVar[str] = "langmuir"
    SUMMARY: ClassVar[str] = (
        "microarray intensity against concentration: saturation, background, and concentrations back"
    )
    OPTIONS: ClassVar[Mapping[str, Option]] = {
        "brightness": Option(("estimated", "alike"), "arrays differ by a factor, or do not"),
    }
    PRIORS: ClassVar[Mapping[str, PriorSlot]] = {
        "log_background": PriorSlot(
            Normal(math.log(50.0), 2.0), "the typical probe shows 50 units without target, within a factor of 50 (95 %)"
        ),
        "log_amplitude": PriorSlot(
            Normal(math.log(5000.0), 1.5),
            "saturation adds 5,000 units to the typical probe, within a factor of 19 (95 %)",
        ),
        "log_half_saturation": PriorSlot(
            Normal(math.log(200.0), 2.0), "the typical probe is half saturated at 200 pM, within a factor of 50 (95 %)"
        ),
        "spread": PriorSlot(
            LogNormal(math.log(0.7), 0.5), "probes differ by a factor of exp(0.7) = 2 (one sd); known within 2.7-fold"
        ),
        "array_spread": PriorSlot(
            LogNormal(math.log(0.15), 0.7), "arrays differ in brightness by 15 % (one sd); known within 4-fold"
        ),
        "multiplicative": PriorSlot(
            HalfNormal(0.5), "well above background, intensities repeat within a factor of 2.7"
        ),
        "additive": PriorSlot(HalfNormal(50.0), "near zero, intensities repeat within 100 units (95 %)"),
        "log_concentration": PriorSlot(
            Normal(math.log(8.0), 3.0), "a target to be measured has 8 pM, within a factor of 360 (95 %)"
        ),
    }
    DATA: ClassVar[Mapping[str, str]] = {
        "intensity": "[N] intensities; may be negative where a background was subtracted",
        "concentration": "[N] concentration of each standard, in one unit (default priors: pM); 0 where unknown",
        "probe": "[N] number of the probe, from 0 (default: one probe)",
        "array": "[N] number of the array, from 0 (default: one array)",
        "unknown": "[N] number of the concentration to be found, from 0; -1 for a standard (default: all standards)",
    }
    PARAMETERS: ClassVar[Mapping[str, str]] = {
        "log_background": "[P] log intensity without target",
        "log_amplitude": "[P] log of what saturation adds",
        "log_half_saturation": "[P] log concentration at half saturation",
        "location": "[3] their means over probes",
        "spread": "[3] their sds over probes",
        "log_brightness": "[A] log factor of each array (brightness = estimated)",
        "array_spread": "its sd (brightness = estimated)",
        "multiplicative": "sd of log intensity well above background",
        "additive": "sd of intensity near zero",
        "log_concentration": "[U] natural log of the unknown concentrations",
    }
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **dict.fromkeys(("intensity", "concentration", "probe", "array", "unknown"), ("measurement",)),
        **dict.fromkeys(SHAPES, ("probe_id",)),
        "location": ("shape",),
        "spread": ("shape",),
        "log_brightness": ("array_id",),
        "log_concentration": ("target",),
    }
    OUTCOME: ClassVar[str] = "intensity"
    ADAPT_DELTA: ClassVar[float] = 0.95
    SCENARIO: ClassVar[Mapping[str, Any]] = {
        "concentration": [0.0, 1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 0.0] * 4,
        "probe": [n // 16 for n in range(32)],
        "array": [n // 8 % 2 for n in range(32)],
        "unknown": [n // 8 if n % 8 == 7 else -1 for n in range(32)],
    }

    def complete(self, data: Mapping[str, Any]) -> Complete:
        """Check the user's data and fill in the defaults."""
        if isinstance(data, Complete):
            return data
        checks.keys(self.NAME, data, self.DATA, ("intensity", "concentration"))
        intensity = checks.real("intensity", data["intensity"], ("N",))
        return Complete(intensity=intensity, **self._given(data, len(intensity)))

    def _given(self, data: Mapping[str, Any], N: int) -> dict[str, Any]:
        concentration = checks.real("concentration", data["concentration"], (N,))
        if (concentration < 0).any():
            first = int(np.argmax(concentration < 0))
            raise InputError(f"a concentration is not negative; concentration[{first}] is {concentration[first]:g}.")
        out: dict[str, Any] = {"concentration": concentration}
        for name, least in (("probe", 0), ("array", 0), ("unknown", -1)):
            values = checks.whole(name, data.get(name, np.full(N, least)), (N,), low=least)
            gap = np.flatnonzero(np.bincount(values[values >= 0]) == 0)
            if len(gap):
                raise InputError(f"{name} numbers what there is from 0 without a gap; nothing has {name} {gap[0]}.")
            out[name] = values
        both = (out["unknown"] >= 0) & (concentration > 0)
        if both.any():
            first = int(np.argmax(both))
            raise InputError(
                f"a concentration is given (a standard) or unknown; measurement {first} has concentration "
                f"{concentration[first]:g} and unknown {out['unknown'][first]}. Set one to 0, or the other to -1."
            )
        return out

    def stan_data(self, data: Mapping[str, Any], *, prior_only: bool = False) -> dict[str, Any]:
        """Return the program's data block, with the maps of the coordinates that the standards give."""
        full = self.complete(data)
        location = [self.prior(name) for name in SHAPES]
        unknown = self.prior("log_concentration")
        spreads = {name: self.prior(name) for name in ("spread", "array_spread")}
        for name, prior in spreads.items():
            if not math.isinf(prior.upper):
                raise InputError(f"the prior of {name} has no upper bound in this program; leave it out.")
        maps = self._maps(full, prior_only)
        return {
            "N": len(full["intensity"]),
            "P": int(full["probe"].max()) + 1,
            "A": int(full["array"].max()) + 1,
            "U": int(full["unknown"].max()) + 1,
            "intensity": full["intensity"],
            "probe": full["probe"] + 1,
            "chip": full["array"] + 1,
            "unknown": full["unknown"] + 1,
            "standard": full["concentration"],
            "location_mean": [prior.mean for prior in location],
            "location_sd": [prior.sd for prior in location],
            **{f"log_{name}_mean": prior.log_mean for name, prior in spreads.items()},
            **{f"log_{name}_sd": prior.log_sd for name, prior in spreads.items()},
            **{f"{name}_sd": self.prior(name).sd for name in ("multiplicative", "additive")},
            "log_c_mean": unknown.mean,
            "log_c_sd": unknown.sd,
            "information": maps.information,
            "pull": maps.pull,
            "brightness_center": maps.brightness,
            "brightness_information": maps.brightness_information,
            "log_c_center": maps.log_c,
            "log_c_scale": maps.log_c_sd,
            "prior_only": int(prior_only),
        }

    def _maps(self, full: Mapping[str, Any], prior_only: bool) -> Maps:
        sizes = {name: int(full[name].max()) + 1 for name in ("probe", "array", "unknown")}
        unknown = self.prior("log_concentration")
        log_c = (unknown.mean, unknown.sd)
        if prior_only:
            return without_data(sizes["probe"], sizes["array"], log_c, sizes["unknown"])
        location, spread = [self.prior(name) for name in SHAPES], math.exp(self.prior("spread").log_mean)
        logs = np.array([p.mean for p in location]), np.hypot([p.sd for p in location], spread)
        errors = self.prior("multiplicative").sd, self.prior("additive").sd
        estimated = self.options["brightness"] == "estimated"
        array_sd = math.exp(self.prior("array_spread").log_mean) if estimated else 0.0
        return from_standards(full, logs, errors, log_c, array_sd)

    def simulate(self, data: Mapping[str, Any], rng: np.random.Generator) -> tuple[Draws, dict[str, Any]]:
        """Draw probes, arrays, unknown concentrations and intensities; `data` holds all keys but ``intensity``."""
        full = Complete(self._given(data, len(data["concentration"])))
        P, A, U = (int(full[name].max()) + 1 for name in ("probe", "array", "unknown"))
        p: Draws = {
            "location": np.array([self.prior(name).draw(rng) for name in SHAPES]),
            "spread": self.prior("spread").draw(rng, 3),
        }
        for k, name in enumerate(SHAPES):
            p[name] = rng.normal(p["location"][k], p["spread"][k], P)
        if self.options["brightness"] == "estimated":
            p["array_spread"] = self.prior("array_spread").draw(rng)
            p["log_brightness"] = rng.normal(0, p["array_spread"], A)
        p |= {name: self.prior(name).draw(rng) for name in ("multiplicative", "additive")}
        p["log_concentration"] = self.prior("log_concentration").draw(rng, U)
        return p, {**data, "intensity": self.replicate(p, full, rng)}

    def replicate(
        self, parameters: Mapping[str, Any], data: Mapping[str, Any], rng: np.random.Generator
    ) -> NDArray[Any]:
        """Draw intensities [N] anew."""
        mean = self._mean(parameters, self.complete(data))
        ratio = parameters["multiplicative"] / parameters["additive"]
        error = rng.normal(0, parameters["multiplicative"], len(mean))
        return np.asarray(np.sinh(np.arcsinh(mean * ratio) + error) / ratio)

    def _mean(self, parameters: Mapping[str, Any], full: Mapping[str, Any]) -> Float:
        """Return the intensity [N] without error."""
        probe, concentration = full["probe"], full["concentration"].copy()
        wanted = full["unknown"] >= 0
        concentration[wanted] = np.exp(np.asarray(parameters["log_concentration"])[full["unknown"][wanted]])
        background, amplitude, half = (np.exp(np.asarray(parameters[name]))[probe] for name in SHAPES)
        mean = background + amplitude * concentration / (concentration + half)
        if self.options["brightness"] == "estimated":
            mean = mean * np.exp(np.asarray(parameters["log_brightness"]))[full["array"]]
        return np.asarray(mean)

    def log_density(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> float:
        """Log joint density in all of ``PARAMETERS`` and intensities."""
        lp = 0.0
        for k, name in enumerate(SHAPES):
            location, spread = parameters["location"][k], parameters["spread"][k]
            lp += float(self.prior(name).logpdf(location)) + float(self.prior("spread").logpdf(spread))
            lp += float(normal_logpdf(parameters[name], location, spread).sum())
        if self.options["brightness"] == "estimated":
            lp += float(self.prior("array_spread").logpdf(parameters["array_spread"]))
            lp += float(normal_logpdf(parameters["log_brightness"], 0, parameters["array_spread"]).sum())
        for name in ("multiplicative", "additive", "log_concentration"):
            lp += float(np.sum(self.prior(name).logpdf(parameters[name])))
        return lp + float(self.log_lik(parameters, data).sum())

    def log_lik(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> Float:
        """Log density of each intensity [N]."""
        full = self.complete(data)
        multiplicative, additive = parameters["multiplicative"], parameters["additive"]
        ratio, intensity = multiplicative / additive, full["intensity"]
        mean = np.arcsinh(self._mean(parameters, full) * ratio)
        slope = ratio / np.hypot(1.0, intensity * ratio)  # of arcsinh(intensity ratio)
        return np.asarray(normal_logpdf(np.arcsinh(intensity * ratio), mean, multiplicative) + np.log(slope))

    def coords(self, data: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Return the numbers of measurements, probes, arrays and targets, and the names of the isotherm's shape."""
        full = self._given(data, len(data["concentration"]))
        named = {"probe_id": "probe", "array_id": "array", "target": "unknown"}
        sizes = {dim: int(full[name].max()) + 1 for dim, name in named.items()}
        out: dict[str, list[Any]] = {dim: list(range(n)) for dim, n in sizes.items()}
        return out | {"measurement": list(range(len(full["probe"]))), "shape": list(SHAPES)}
