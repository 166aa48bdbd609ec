"""Planted errors with real fits: NUTS agrees with the exact grid, and campaigns of real fits catch what is planted."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bayesexpr.calibration.campaign import run_campaign
from bayesexpr.calibration.control_program import ControlBackend
from bayesexpr.calibration.controls import BLIND, BUGS, NO_BUG, GridBackend, TwoGroupScenario, scenario_of
from bayesexpr.calibration.planted import PLANTED, main
from bayesexpr.calibration.record import read_record
from bayesexpr.calibration.shared_fits import MORE, SharedSimulator, fit_of, groups, row_of
from bayesexpr.calibration.simulation import Simulator
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
@pytest.mark.timeout(3600)
def test_every_gross_error_is_caught_by_every_campaign_of_twenty_real_fits(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    """40 fits under every error, two campaigns each; made again from the fits that are kept, the record is the same."""
    record = tmp_path / "record.json"
    command = ["--fits", "40", "--workers", "2", "--work", str(tmp_path), "--record", str(record)]
    assert main(command) == 0
    found = {o["bug"]: o for o in read_record(record)["outcomes"]}
    assert set(found) == {bug.name for bug in PLANTED}
    assert all(o["campaigns"] == 2 for o in found.values())
    assert {bug.name for bug in BUGS if bug.tier == 20} <= {name for name, o in found.items() if o["caught"] == 2}
    assert found[NO_BUG.name]["status"] == {PASS: 2}
    text = record.read_text()
    start = time.monotonic()
    assert main([*command, "--all"]) == 0
    assert time.monotonic() - start < 60
    assert record.read_text() == text


def test_shared_fits_give_the_ranks_of_campaigns_of_their_own(toolchain: Toolchain) -> None:
    """One simulation of four genes under each error of the group without an error of the fit: nine rows of one fit."""
    group = groups(PLANTED)[0]
    assert len(group) == 9
    backend = ControlBackend(fit_of(group[0]), settings=MORE).prepare()
    shared = SharedSimulator(TwoGroupScenario(4), backend, 4, 99, group).run(0, 3)
    for bug in group:
        own = Simulator(scenario_of(bug, 4), replace(backend, bug=bug), 4, 99).run(0, 3)
        compared = {key: value for key, value in own.items() if key not in ("seconds", "implausible")}
        assert {key: value for key, value in row_of(shared, bug).items() if key != "seconds"} == compared


def test_a_fit_with_too_few_effective_draws_is_made_again_with_more(toolchain: Toolchain) -> None:
    """100 draws after a warm-up too short are not enough to rank among 99."""
    few = SamplerSettings(chains=1, warmup=20, draws=100)
    backend = ControlBackend(NO_BUG, settings=few).prepare()
    assert -1 in Simulator(TwoGroupScenario(4), backend, 4, 99).run(0, 3)["rank"]
    shared = SharedSimulator(TwoGroupScenario(4), backend, 4, 99, (NO_BUG,)).run(0, 3)
    assert -1 not in row_of(shared, NO_BUG)["rank"]


def test_every_bug_can_be_planted_in_the_program() -> None:
    """The data block of each bug has all the program's keys."""
    from bayesexpr.calibration.control_program import PROGRAM, stan_data

    _, data = TwoGroupScenario(2).simulate(np.random.default_rng(4))
    for bug in (*BUGS, *BLIND, NO_BUG):
        for key, value in stan_data(bug, data).items():
            assert f" {key};" in PROGRAM.code
            assert np.isfinite(np.asarray(value, dtype=float)).all()
