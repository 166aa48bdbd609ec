"""Long runs against posteriors that are known: closed forms and a quadrature.

What agrees has means within four Monte Carlo standard errors of each other, standard deviations within 3 %, and draws
that a two-sample test does not tell apart at 1 % over all quantities.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import bayesexpr as bx
from bayesexpr.calibration.control_program import ControlBackend
from bayesexpr.calibration.controls import NO_BUG, GridBackend, TwoGroupScenario
from bayesexpr.models.priors import Beta, Gamma
from bayesexpr.posterior.diagnostics import convergence
from bayesexpr.stan.settings import SamplerSettings
from bayesexpr.stan.toolchain import Toolchain

pytestmark = [pytest.mark.needs_stan, pytest.mark.slow]

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
