"""Planted errors, with exact posteriors: the harness catches them and names them, and is silent without one."""

from __future__ import annotations

import pytest

from bayesexpr.calibration.campaign import run_campaign
from bayesexpr.calibration.controls import BLIND, BUGS, NO_BUG, STICKY, GridBackend, TwoGroupScenario, scenario_of
from bayesexpr.calibration.mutation import mutation_score
from bayesexpr.calibration.verdict import FAIL, INCONCLUSIVE, PASS

SMOKE = [bug for bug in BUGS if bug.tier == 20]
SUBTLE = {"correlations destroyed", "prior sd of beta doubled"}


def test_every_row_of_the_table_is_there() -> None:
    """The rows of the design, one of which is two (draws too narrow, too wide), and the estimand at half its size."""
    assert len(BUGS) == 23
    assert len({bug.name for bug in (*BUGS, *BLIND)}) == 26
    assert len(SMOKE) == 9
    assert all(bug.instead for bug in BLIND)


def test_smoke_tier_catches_gross_errors() -> None:
    """20 simulations of 20 genes: all nine, each twice (replication), and nothing without an error."""
    found = mutation_score(20, bugs=SMOKE, seed=1)
    assert [row.bug for row in found.rows if not row.caught] == []
    assert found.control.status == PASS
    missing = found.rows[0]
    assert (missing.bug, missing.kind) == ("likelihood missing", "data ignored")


def test_parameters_alone_are_blind_to_a_missing_likelihood() -> None:
    """Of one gene with 100 simulations, only quantities that use the data alarm."""
    missing = SMOKE[0]
    found = run_campaign(TwoGroupScenario(1), GridBackend(missing), simulations=100, seed=2, replicate=False)
    alarms = {q.name for q in found.verdict.alarms}
    assert "log_lik" in alarms
    assert "sum(beta sign(data))" in alarms
    assert not {"alpha[0]", "beta[0]", "log_phi[0]"} & alarms


def test_an_autocorrelated_sampler_is_named_and_not_taken_for_a_model_error() -> None:
    """T10, for a sampler that keeps each draw for about ten."""
    found = run_campaign(TwoGroupScenario(1), GridBackend(STICKY), simulations=40, seed=3, replicate=False)
    assert found.verdict.status == INCONCLUSIVE
    assert "autocorrelation, not a fault of the model" in found.verdict.reasons[0]


@pytest.mark.parametrize("both_sides", [False, True])
def test_a_wrong_log_lik_is_seen_unless_the_generator_shares_it(both_sides: bool) -> None:
    """20 simulations of four genes with the stated log_lik by another design."""
    bug = next(b for b in (*BUGS, *BLIND) if b.log_lik_x is not None and b.both_sides is both_sides)
    found = run_campaign(scenario_of(bug, 4), GridBackend(bug), simulations=20, seed=7)
    assert found.verdict.status == (PASS if both_sides else FAIL)
    if not both_sides:
        assert {q.name for q in found.verdict.alarms} == {"stated_log_lik"}


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_smoke_tier_over_seeds() -> None:
    """20 seeds: at least 95 % of the gross errors caught, and no false FAIL."""
    runs = [mutation_score(20, bugs=SMOKE, seed=seed) for seed in range(20)]
    assert sum(run.score for run in runs) / 20 >= 0.95
    assert all(run.control.status == PASS for run in runs)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_pull_request_tier() -> None:
    """200 simulations of 20 genes: every row but the two subtlest."""
    found = mutation_score(200, seed=4)
    assert {row.bug for row in found.rows if not row.caught} <= SUBTLE
    assert found.control.status == PASS


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_release_tier() -> None:
    """1000 simulations of 20 genes: every row."""
    found = mutation_score(1000, seed=5)
    assert [row.bug for row in found.rows if not row.caught] == []
    assert found.control.status == PASS


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_control_without_error_passes_at_length() -> None:
    """One gene, 2000 simulations: the grid is exact enough for the release tier."""
    found = run_campaign(TwoGroupScenario(1), GridBackend(NO_BUG), simulations=2000, seed=6)
    assert found.verdict.status == PASS
