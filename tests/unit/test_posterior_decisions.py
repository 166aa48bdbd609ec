"""Running means of local error rates and the calls made from them."""

from __future__ import annotations

import numpy as np
import pytest

from bayesexpr.posterior import decisions


def test_running_mean_by_hand() -> None:
    np.testing.assert_allclose(decisions.qvalue([0.3, 0.1, 0.2]), [0.2, 0.1, 0.15])
    np.testing.assert_allclose(decisions.svalue([0.3, 0.1, 0.2]), [0.2, 0.1, 0.15])


def test_equal_values_get_equal_results_in_any_order() -> None:
    rng = np.random.default_rng(4)
    rate = np.round(rng.beta(0.3, 1, size=500), 2)
    q = decisions.qvalue(rate)
    for value in np.unique(rate):
        assert np.unique(q[rate == value]).size == 1
    order = rng.permutation(500)
    np.testing.assert_array_equal(decisions.qvalue(rate[order]), q[order])
    assert (np.diff(q[np.argsort(rate)]) >= -1e-15).all()


def test_missing_values_stay_missing_and_count_for_nothing() -> None:
    q = decisions.qvalue([np.nan, 0.1, 0.2])
    assert np.isnan(q[0])
    np.testing.assert_allclose(q[1:], [0.1, 0.15])
    assert np.isnan(decisions.qvalue([np.nan])).all()


def test_calls_keep_the_expected_error_rate() -> None:
    # seed 12: 20,000 genes whose lfdr is true by construction; realised rate within 3 standard errors
    rng = np.random.default_rng(12)
    lfdr = rng.beta(0.4, 0.6, size=20_000)
    false = rng.random(20_000) < lfdr
    made = decisions.calls(lfdr, unchanged=0.8)
    assert made.warning == ""
    assert made.expected_false / made.count <= 0.05
    realised = false[made.called].mean()
    assert realised == pytest.approx(0.05, abs=3 * np.sqrt(0.05 / made.count) + 0.001)
    # negative control: a list cut by the local rate alone at ten times the level is far above it
    assert false[lfdr < 0.5].mean() > 0.08


def test_stricter_rule_is_offered_when_most_genes_change() -> None:
    lfdr = np.array([0.001] * 90 + [0.3] * 10 + [np.nan])
    loose = decisions.calls(lfdr, unchanged=0.3)
    strict = decisions.calls(lfdr, rule="lfdr", unchanged=0.3)
    assert loose.count == 100
    assert strict.count == 90
    assert "30 %" in loose.warning
    assert "stricter" in loose.warning
    assert strict.warning == ""
    assert not loose.called[-1]
    assert strict.expected_false == pytest.approx(0.09)


def test_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="rule"):
        decisions.calls([0.1], rule="pvalue")
