"""Verdicts: their rules, the kind of an alarm, replication, severity."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from bayesexpr.calibration.severity import planted_ranks, power, severity
from bayesexpr.calibration.table import RankTable
from bayesexpr.calibration.verdict import FAIL, INCONCLUSIVE, PASS, holm, judge, kind_of_alarm
from bayesexpr.errors import InputError

L = 99


def table(seed: int, N: int = 200, Q: int = 5, failures: int = 0, **planted: float) -> RankTable:
    """Uniform ranks of Q quantities, the first of them with a planted error."""
    rng = np.random.default_rng(seed)
    rank = rng.integers(0, L + 1, size=(N, Q))
    if planted:
        error = {"bias": 0.0, "sd": 1.0} | planted
        rank[:, 0] = planted_ranks(N, L, bias=error["bias"], sd=error["sd"], repeats=1, rng=rng)[0]
    ess = np.full((N, Q), 200.0)
    return RankTable(
        tuple(f"q{i}" for i in range(Q)), L, rank, ess=ess, failures={N + i: "killed" for i in range(failures)}
    )


def test_uniform_ranks_pass_and_say_what_they_are_worth() -> None:
    verdict = judge(table(1))
    assert verdict.status == PASS
    assert verdict.passed
    text = str(verdict)
    for part in ("PASS: 200 of 200", "severity: would have caught", "bias of 0.", "Holm", "weakest point"):
        assert part in text


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"bias": 0.8}, "bias upwards"),
        ({"bias": -0.8}, "bias downwards"),
        ({"sd": 0.5}, "too narrow"),
        ({"sd": 2.0}, "too wide"),
    ],
)
def test_an_alarm_that_comes_twice_fails_and_names_quantity_and_kind(error: dict[str, float], kind: str) -> None:
    verdict = judge(table(2, **error), table(3, **error))
    assert verdict.status == FAIL
    assert [q.name for q in verdict.alarms] == ["q0"]
    assert f"alarm, twice, in q0: likely {kind}" in verdict.reasons[0]


def test_an_alarm_is_repeated_only_where_that_leads_to_a_verdict() -> None:
    """Not where too many simulations failed: the campaign is inconclusive whatever fresh ones say."""
    assert judge(table(2, bias=0.8)).awaits_replication
    assert not judge(table(1)).awaits_replication
    assert not judge(table(2, bias=0.8), table(3, bias=0.8)).awaits_replication
    doubtful = judge(table(2, failures=5, bias=0.8))
    assert doubtful.alarms
    assert not doubtful.awaits_replication
    assert judge(table(2, failures=5, bias=0.8), table(3, bias=0.8)).status == doubtful.status == INCONCLUSIVE


def chosen(N: int, seed: int, keep: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> RankTable:
    """Ranks of a mean, prior N(0, 1), five observations of sd 1, exact draws, of the N first fits that are kept."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=60 * N)
    mean = truth + rng.normal(size=truth.size) / np.sqrt(5)
    kept = np.flatnonzero(keep(truth, mean))[:N]
    assert kept.size == N
    below = stats.norm.cdf((truth[kept] - mean[kept] * 5 / 6) * np.sqrt(6))
    return RankTable(("mu",), L, rng.binomial(L, below)[:, None])


def test_fits_may_be_left_out_by_their_data_only() -> None:
    """2.6: rejection by the true value alarms with 200 fits; by the mean of the data it passes with 1,000."""
    by_truth = [chosen(200, seed, lambda truth, mean: truth > 0.8) for seed in (1, 2)]
    found = judge(*by_truth)
    assert found.status == FAIL
    assert "bias" in found.reasons[0]
    by_data = chosen(1000, 3, lambda truth, mean: mean > 0.8)
    assert judge(by_data).status == PASS
    assert not judge(by_data).alarms


def test_strata_of_the_truth_do_not_cover_as_stated_though_all_is_well() -> None:
    """2.5: exact draws, 60,000 fits, seed 4: why reports are stratified by data, if at all.

    Thirds of the true value cover less or more than 90 %; thirds of the data's mean do, within .006 (three standard
    errors).
    """
    rng = np.random.default_rng(4)
    truth = rng.normal(size=60_000)
    mean = truth + rng.normal(size=truth.size)
    rank = rng.binomial(L, stats.norm.cdf((truth - mean / 2) * np.sqrt(2)))
    inside = (rank >= 5) & (rank <= 94)

    def covered(by: np.ndarray) -> np.ndarray:
        third = np.searchsorted(np.quantile(by, [1 / 3, 2 / 3]), by)
        return np.array([inside[third == k].mean() for k in range(3)])

    assert np.abs(covered(mean) - 0.9).max() < 0.006
    assert np.abs(covered(truth) - 0.9).max() > 0.02


def test_an_alarm_waits_for_its_replication() -> None:
    first = table(4, bias=0.8)
    assert judge(first).status == INCONCLUSIVE
    assert "not repeated yet" in judge(first).reasons[0]
    cleared = judge(first, table(5))
    assert cleared.status == PASS
    assert "do not bear it out" in cleared.reasons[0]


def test_too_many_failures_are_never_a_pass() -> None:
    assert judge(table(6, failures=2)).status == PASS
    verdict = judge(table(6, failures=3))
    assert verdict.status == INCONCLUSIVE
    assert "3 of 203 simulations failed; the first, number 200: killed" in verdict.reasons[0]
    assert (verdict.planned, verdict.finished, verdict.failed) == (203, 200, 3)


def test_too_few_simulations_are_never_a_pass() -> None:
    assert judge(table(7, N=19)).status == INCONCLUSIVE
    assert judge(table(7, N=20)).status == PASS


def test_refused_ranks_are_named_autocorrelation_and_not_a_fault_of_the_model() -> None:
    base = table(8)
    for refused, status in ((10, PASS), (11, INCONCLUSIVE)):
        rank = base.rank.copy()
        rank[:refused, 2] = -1
        verdict = judge(RankTable(base.names, L, rank, ess=base.ess))
        assert verdict.status == status
    assert "autocorrelation, not a fault of the model" in verdict.reasons[0]
    assert "q2" in verdict.reasons[0]


def test_an_alarm_of_dependent_draws_is_named_autocorrelation() -> None:
    base = table(9, sd=0.4)
    dependent = RankTable(base.names, L, base.rank, ess=np.full(base.rank.shape, 20.0))
    assert kind_of_alarm(dependent, "q0") == "autocorrelation"
    assert kind_of_alarm(base, "q0") == "too narrow"


def test_an_alarm_where_nothing_was_learnt_is_named_data_ignored() -> None:
    rng = np.random.default_rng(10)
    truth = rng.normal(size=(100, 2))
    rank = np.stack([rng.integers(0, L + 1, 100), np.full(100, L)], axis=1)
    prior_only = RankTable(("beta", "loglik"), L, rank, (False, True), truth=truth, mean=0 * truth, sd=truth**0)
    assert kind_of_alarm(prior_only, "loglik") == "data ignored"
    learnt = RankTable(("beta", "loglik"), L, rank, (False, True), truth=truth, mean=truth, sd=truth**0)
    assert kind_of_alarm(learnt, "loglik") == "bias downwards"


def test_divergences_are_never_a_pass() -> None:
    base = table(11)
    for share, status in ((0.05, PASS), (0.06, INCONCLUSIVE)):
        divergent = (np.arange(200) < share * 200).astype(np.int64)
        assert judge(RankTable(base.names, L, base.rank, divergent=divergent)).status == status


def test_false_alarms_of_a_campaign_stay_below_the_level() -> None:
    """150 calibrated campaigns of 10 quantities, N = 100: 1 % first-stage alarms, plus three standard errors."""
    rng = np.random.default_rng(12)
    alarms = sum(
        bool(judge(RankTable(tuple("abcdefghij"), L, rng.integers(0, L + 1, (100, 10)))).alarms) for _ in range(150)
    )
    assert alarms <= 1.5 + 3 * 1.22


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.5, np.nan, 0.9]), [1.0, np.nan, 1.0])
    assert holm([]).size == 0


def test_severity_shrinks_with_size_and_is_what_it_says() -> None:
    small, large = severity(100, L, 0.001), severity(500, L, 0.001)
    assert small.bias > large.bias
    assert small.narrow < large.narrow < 1 < large.wide < small.wide
    found = power(500, L, 0.001, bias=large.bias, repeats=1000, seed=3)["either"]
    assert found == pytest.approx(0.8, abs=0.1)
    far = severity(5000, L, 0.001)
    assert far.bias == pytest.approx(large.bias / np.sqrt(10))
    assert "nothing" in str(severity(2, 9, 1e-6))


def test_tables_refuse_impossible_ranks() -> None:
    with pytest.raises(InputError, match=r"simulation 1 of 'b' has 100"):
        RankTable(("a", "b"), L, np.array([[1, 2], [3, 100]]))
    with pytest.raises(InputError, match="shape"):
        RankTable(("a",), L, np.zeros((4, 2)))
    with pytest.raises(InputError, match="no test quantity 'z'"):
        table(1).ranks_of("z")


def test_table_as_frame() -> None:
    frame = table(1, N=3, Q=2).to_frame()
    assert list(frame.columns) == ["simulation", "quantity", "rank", "L", "ess"]
    assert len(frame) == 6
