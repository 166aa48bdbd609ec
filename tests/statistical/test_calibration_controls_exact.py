"""Planted errors, with exact posteriors: the harness catches them and names them, and is silent without one."""

from __future__ import annotations

import pytest

from bayesexpr.calibration.campaign import run_campaign
from bayesexpr.calibration.controls import BUGS, NO_BUG, Bug, GridBackend, TwoGroupScenario
from bayesexpr.calibration.mutation import mutation_score
from bayesexpr.calibration.verdict import INCONCLUSIVE, PASS

SMOKE = [bug for bug in BUGS if bug.tier == 20]
SUBTLE = {"correlations destroyed", "prior sd of beta doubled"}


def test_every_row_of_the_table_is_there() -> None:
    assert len(BUGS) == 22
    assert len({bug.name for bug in BUGS}) == 22
    assert len(SMOKE) == 8


def test_smoke_tier_catches_gross_errors() -> None:
    """20 simulations of 20 genes: all eight, each twice (replication), and nothing without an error."""
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
    found = run_campaign(
        TwoGroupScenario(1), GridBackend(Bug("sticky", draws="sticky")), simulations=40, seed=3, replicate=False
    )
    assert found.verdict.status == INCONCLUSIVE
    assert "autocorrelation, not a fault of the model" in found.verdict.reasons[0]


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
