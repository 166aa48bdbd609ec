"""Planted errors with real fits: NUTS agrees with the exact grid, and campaigns of real fits catch what is planted."""

from __future__ import annotations

import numpy as np
import pytest

from bayesexpr.calibration.campaign import run_campaign
from bayesexpr.calibration.control_program import ControlBackend
from bayesexpr.calibration.controls import BUGS, NO_BUG, Bug, GridBackend, TwoGroupScenario
from bayesexpr.calibration.mutation import mutation_score
from bayesexpr.calibration.verdict import FAIL, PASS
from bayesexpr.stan.settings import SamplerSettings
from bayesexpr.stan.toolchain import Toolchain

pytestmark = pytest.mark.needs_stan

NAMED = {bug.name: bug for bug in (*BUGS, NO_BUG)}


@pytest.mark.parametrize(
    "name", ["no error", "phi and 1/phi exchanged", "one sample counted twice", "Jacobian of log phi dropped"]
)
def test_stan_and_grid_agree(toolchain: Toolchain, name: str) -> None:
    """Four genes, 4000 draws of each: means within 0.1 posterior sd (about four standard errors), sds within 10 %."""
    _, data = TwoGroupScenario(4).simulate(np.random.default_rng(1))
    settings = SamplerSettings(chains=2, warmup=500, draws=2000)
    by_stan = ControlBackend(NAMED[name], settings).prepare().fit(data, seed=1).draws
    by_grid = GridBackend(NAMED[name], size=4000).fit(data, seed=1).draws
    for parameter in ("alpha", "beta", "log_phi", "reported_effect"):
        a, b = by_stan[parameter].reshape(-1, 4), by_grid[parameter].reshape(-1, 4)
        np.testing.assert_array_less(np.abs(a.mean(axis=0) - b.mean(axis=0)), 0.1 * b.std(axis=0))
        np.testing.assert_allclose(a.std(axis=0), b.std(axis=0), rtol=0.1)


@pytest.mark.parametrize(
    ("name", "kind"), [("likelihood missing", "data ignored"), ("half the effect", "bias")], ids=["missing", "half"]
)
def test_gross_errors_are_caught_with_twenty_real_fits(toolchain: Toolchain, name: str, kind: str) -> None:
    """Draws enough that no quantity is refused a rank: that would be INCONCLUSIVE, whatever else alarms."""
    backend = ControlBackend(NAMED[name], SamplerSettings(chains=1, warmup=500, draws=2500))
    found = run_campaign(TwoGroupScenario(10), backend, simulations=20, seed=2)
    assert found.verdict.status == FAIL
    assert kind in found.verdict.reasons[0]


def test_the_control_without_error_passes_with_real_fits(toolchain: Toolchain) -> None:
    found = run_campaign(TwoGroupScenario(10), ControlBackend(NO_BUG), simulations=40, seed=3)
    assert found.verdict.status == PASS


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("simulations", "least"), [(20, 0.85), (200, 1.0)])
def test_mutation_score_of_real_fits(toolchain: Toolchain, simulations: int, least: float) -> None:
    """All 22 errors; those of the smoke tier must be among the caught ones at any size."""
    found = mutation_score(simulations, seed=4, fitted_by=ControlBackend)
    assert found.control.status == PASS
    assert found.score >= least
    smoke = {bug.name for bug in BUGS if bug.tier == 20}
    assert smoke <= {row.bug for row in found.rows if row.caught}


def test_every_bug_can_be_planted_in_the_program() -> None:
    """The data block of each bug has all the program's keys."""
    from bayesexpr.calibration.control_program import PROGRAM, stan_data

    _, data = TwoGroupScenario(2).simulate(np.random.default_rng(4))
    for bug in (*BUGS, NO_BUG, Bug("sticky", draws="sticky")):
        for key, value in stan_data(bug, data).items():
            assert f" {key};" in PROGRAM.code
            assert np.isfinite(np.asarray(value, dtype=float)).all()
