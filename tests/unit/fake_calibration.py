"""A normal mean whose posterior is exact, and faulty ways to draw from it; importable by worker processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bayesexpr.calibration.backend import Posterior
from bayesexpr.calibration.scenarios import FunctionScenario
from bayesexpr.errors import InputError, SamplingError

SIZE = 5


def draw(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    """mu ~ N(0, 1); five observations ~ N(mu, 1)."""
    mu = rng.normal()
    return {"mu": mu}, {"y": rng.normal(mu, 1.0, SIZE)}


def log_lik(parameters: Mapping[str, Any], data: Mapping[str, Any]) -> float:
    return float(-0.5 * np.sum((data["y"] - parameters["mu"]) ** 2))


def exact(data: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    y = np.asarray(data["y"])
    return {"mu": rng.normal(y.sum() / (y.size + 1), 1 / np.sqrt(y.size + 1), size=200)}


def prior_only(data: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    return {"mu": rng.normal(size=200)}


def narrow(data: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    mu = exact(data, rng)["mu"]
    return {"mu": mu.mean() + 0.5 * (mu - mu.mean())}


def sticky(data: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """An AR(1) chain with correlation .9 in place of independent draws."""
    y = np.asarray(data["y"])
    z = rng.normal(size=200)
    for i in range(1, z.size):
        z[i] = 0.9 * z[i - 1] + np.sqrt(1 - 0.81) * z[i]
    return {"mu": y.sum() / (y.size + 1) + z / np.sqrt(y.size + 1)}


def other_name(data: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    return {"theta": rng.normal(size=200)}


SCENARIO = FunctionScenario("normal-mean", draw, {"log_lik": log_lik})


@dataclass(frozen=True)
class Faulty:
    """The exact posterior, but for what happens to data whose mean is above `above`.

    `fault`: ``fail`` raises SamplingError, ``nan`` gives a NaN draw, ``input`` raises InputError, ``die`` kills its own
    process each time, ``die once`` only as long as `marker` is absent.
    """

    fault: str
    above: float
    marker: str = ""

    @property
    def name(self) -> str:
        return f"faulty-{self.fault}"

    def prepare(self) -> Faulty:
        return self

    def digest(self) -> str:
        return repr((self.fault, self.above))

    def versions(self) -> dict[str, str]:
        return {}

    def fit(self, data: Mapping[str, Any], seed: int) -> Posterior:
        mu = exact(data, np.random.default_rng(seed))["mu"]
        if np.mean(data["y"]) > self.above:
            if self.fault == "fail":
                raise SamplingError("chain 1 failed with exit code 70")
            if self.fault == "input":
                raise InputError("the data break a rule")
            if self.fault == "nan":
                mu[3] = np.nan
            if self.fault == "die" or (self.fault == "die once" and not Path(self.marker).exists()):
                if self.marker:
                    Path(self.marker).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return Posterior({"mu": mu[None]}, {"divergences": 0.0})
