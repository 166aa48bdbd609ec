"""Long runs against posteriors that are known: closed forms, a quadrature, reference draws.

What agrees has means within four Monte Carlo standard errors of each other, standard deviations within 3 %, and draws
that a two-sample test does not tell apart at 1 % over all quantities.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesexpr as bx
from bayesexpr.calibration.control_program import ControlBackend
from bayesexpr.calibration.controls import NO_BUG, GridBackend, TwoGroupScenario
from bayesexpr.calibration.de_scenario import DEBackend
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.models.priors import Beta, Gamma
from bayesexpr.posterior.diagnostics import convergence, ess_mean
from bayesexpr.stan.settings import SamplerSettings
from bayesexpr.stan.toolchain import Toolchain

pytestmark = [pytest.mark.needs_stan, pytest.mark.slow]

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
LONG = {"chains": 4, "warmup": 1000, "draws": 10_000}
DRAWS_COMPARED = 1000
"""Nearly independent draws of each side for the two-sample test."""


def faults(one: Any, two: Any) -> list[str]:
    """In what two samples [chain, draw, quantity] differ."""
    a, b = (np.asarray(x, dtype=float).reshape(*x.shape[:2], -1) for x in (one, two))
    (m1, s1, e1), (m2, s2, e2) = (
        (x.mean(axis=(0, 1)), x.std(axis=(0, 1)), np.atleast_1d(convergence(x).ess_bulk)) for x in (a, b)
    )
    z = np.abs(m1 - m2) / np.sqrt(s1**2 / e1 + s2**2 / e2)
    found = [f"mean of {q}: {z[q]:.1f} standard errors" for q in np.flatnonzero(z > 4)]
    ratio = s1 / s2
    found += [f"sd of {q}: ratio {ratio[q]:.3f}" for q in np.flatnonzero(np.abs(ratio - 1) > 0.03)]
    flat = [x.reshape(-1, x.shape[2])[:: max(1, x.shape[0] * x.shape[1] // DRAWS_COMPARED)] for x in (a, b)]
    p = np.array([stats.ks_2samp(flat[0][:, q], flat[1][:, q]).pvalue for q in range(a.shape[2])])
    return found + [f"draws of {q}: p = {p[q]:.1g}" for q in np.flatnonzero(p < 0.01 / p.size)]


CLOSED = [
    ("beta_binomial", {"count": [500, 0, 3], "total": [20_000_000, 50, 10]}, {"theta": Beta(0.5, 2.0)}, "theta"),
    (
        "gamma_poisson",
        {"count": [500, 2, 7], "effective_length": [700, 50, 2000], "total": 2e7, "transcriptome_length": 1e7},
        {"relative": Gamma(0.8, 0.8)},
        "relative",
    ),
]


@pytest.mark.parametrize(("name", "data", "prior", "variable"), CLOSED, ids=[row[0] for row in CLOSED])
def test_closed_forms(
    name: str, data: dict[str, Any], prior: dict[str, Any], variable: str, toolchain: Toolchain
) -> None:
    """Seeds 3 and 4, 40,000 draws of each."""
    by_nuts = bx.fit(name, data, prior=prior, seed=3, cores=1, **LONG).posterior["posterior"][variable].to_numpy()
    exact = bx.fit(name, data, prior=prior, seed=4, method="exact", draws=10_000).posterior["posterior"][variable]
    assert not faults(by_nuts, exact.to_numpy())
    assert faults(by_nuts, exact.to_numpy() * 1.1)  # the control


def test_negative_binomial_by_quadrature(toolchain: Toolchain) -> None:
    """Mean, effect and dispersion of four genes in three against three samples, on a three-dimensional grid; seed 1."""
    _, data = TwoGroupScenario(4).simulate(np.random.default_rng(1))
    by_nuts = ControlBackend(NO_BUG, SamplerSettings(**LONG)).prepare().fit(data, seed=1).draws
    on_grid = GridBackend(NO_BUG, size=40_000).fit(data, seed=1).draws
    for name in ("alpha", "beta", "log_phi"):
        exact = on_grid[name].reshape(4, -1, 4)
        assert not faults(by_nuts[name], exact), name
        assert faults(by_nuts[name], exact + 0.1 * exact.std(axis=(0, 1))), name


def reference() -> tuple[dict[str, Any], pd.DataFrame]:
    """What ``benchmarks/reference_posterior.py`` wrote down."""
    record = json.loads((GOLDEN / "negative_binomial_de_reference.json").read_text(encoding="utf-8"))
    return record, pd.read_csv(GOLDEN / "negative_binomial_de_reference.csv.gz")


def apart(draws: dict[str, Any], shift: float = 0.0) -> list[str]:
    """In what draws of the flagship [chain, draw, ...] differ from the reference; `shift` spoils them, in sds."""
    record, kept = reference()
    found = []
    for name, told in record["quantities"].items():
        parameter, _, place = name.rstrip("]").partition("[")
        values = draws[parameter].reshape(*draws[parameter].shape[:2], -1)[..., int(place)]
        x = (np.arctan(values) if parameter == "beta" else values) + shift * told["sd"]
        of_mean, of_sd = (float(ess_mean(y)[0]) for y in (x, (x - x.mean()) ** 2))
        z = abs(x.mean() - told["mean"]) / told["sd"] / np.sqrt(1 / of_mean + 1 / told["ess"])
        ratio = x.std() / told["sd"]
        p = stats.ks_2samp(x.ravel()[:: max(1, x.size // DRAWS_COMPARED)], kept[name]).pvalue
        if z > 4 or abs(ratio - 1) > 0.03 or p < 0.01 / len(record["quantities"]):
            sizes = f"effective {of_mean:.0f} and {of_sd:.0f}"
            found.append(f"{name}: mean {z:.1f} standard errors, sd ratio {ratio:.3f}, p = {p:.1g} ({sizes})")
    return found


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("nuts", SamplerSettings(chains=4, warmup=500, draws=10_000, step_size=0.2)),
        ("blocked", SamplerSettings(chains=4, warmup=500, draws=40_000, thin=4, metric="unit_e")),
    ],
)
def test_differential_expression_against_reference_draws(
    method: str, settings: SamplerSettings, toolchain: Toolchain
) -> None:
    """Both samplers with kernel and whitening against plain Stan's by posteriordb's recipe; 40,000 draws, seed 7."""
    data = {name: np.asarray(value) for name, value in reference()[0]["data"].items()}
    draws = DEBackend(NegativeBinomialDE(), settings, method).prepare().fit(data, seed=7).draws
    assert not apart(draws)
    assert len(apart(draws, shift=0.1)) > 0.8 * len(reference()[0]["quantities"])  # the control


def test_the_reference_keeps_the_limits_of_its_recipe() -> None:
    found = {name: limit["value"] for name, limit in reference()[0]["limits"].items()}
    assert found["rhat"] < 1.01
    assert found["neighbours"] < 0.05
    assert found["e_fmi"] > 0.2
    assert found["divergences"] == 0
    assert 9000 < found["least_ess"] <= found["most_ess"] < 11_000
