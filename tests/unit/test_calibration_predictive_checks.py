"""Predictive p-values: conservative as they come, calibrated against simulated genes; dispersions by moments."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import kolmogi
from study_of_genes import simulate

from bayesexpr.calibration.loo_report import distance
from bayesexpr.calibration.predictive_checks import (
    WITHIN,
    PredictiveChecks,
    calibrate,
    moment_dispersion,
    reference_p_values,
    residual_maker,
    within_p_values,
)


def test_the_data_used_twice_make_p_values_conservative_and_the_reference_mends_it() -> None:
    """About 1,000 simulated genes of 3 + 3 samples against another 1,000 (seeds 1 and 2), limit at 0.1 %."""
    made = simulate(2, 6, np.random.default_rng(1))
    one, two = (reference_p_values(made.study, made.hyper, np.random.default_rng(seed)) for seed in (1, 2))
    for name in WITHIN:
        size = np.array([len(one[name]), len(two[name])])
        assert size.min() > 900
        assert distance(calibrate(one[name], two[name])) < kolmogi(0.001) * np.sqrt((1 / size).sum())
    # as they come, those of the mean are hardly ever small: the mean was fitted
    assert np.mean(one["mean"] < 0.05) < 0.01
    assert np.mean(calibrate(one["mean"], two["mean"]) < 0.05) == pytest.approx(0.05, abs=0.03)


def test_calibration_keeps_what_is_missing_and_is_never_zero() -> None:
    found = calibrate(np.array([0.0, 0.5, np.nan]), np.linspace(0.1, 1, 9))
    assert found[0] == pytest.approx(0.1)
    assert found[1] == pytest.approx(0.5)
    assert np.isnan(found[2])


def test_p_values_of_counts_of_the_same_law_are_uniform_and_ties_are_broken() -> None:
    # seed 3: 1,000 genes of 4 samples and 200 replicates from the same Poisson law, few of them different
    rng = np.random.default_rng(3)
    p = within_p_values(rng.poisson(0.3, (4, 1000)), rng.poisson(0.3, (200, 4, 1000)), rng)
    for name in WITHIN:
        assert distance(p[name]) < kolmogi(0.001) / np.sqrt(1000)
    # negative control: counts that vary more
    wide = rng.poisson(rng.gamma(0.1, 3.0, (4, 1000)))
    assert distance(within_p_values(wide, rng.poisson(0.3, (200, 4, 1000)), rng)["variance"]) > 0.1


def test_dispersions_by_moments() -> None:
    """20,000 genes of mean 200 and dispersion 0.02 in two conditions with unequal depth; seed 4."""
    rng = np.random.default_rng(4)
    design = np.repeat([-0.5, 0.5], 4)[:, None]
    residual = residual_maker({"S": 8, "design": design, "nuisance_design": np.zeros((8, 0))})
    assert residual.shape == (6, 8)
    np.testing.assert_allclose(residual @ np.column_stack([np.ones(8), design]), 0, atol=1e-12)
    scale = np.exp(np.tile([-0.5, 0.5], 4))[:, None] * np.ones((1, 20_000))
    mean = 200 * np.exp(design) * scale
    counts = rng.negative_binomial(50.0, 50.0 / (50.0 + mean))
    found = moment_dispersion(counts, scale, residual)
    # within conditions: the mean of squares of the two levels is above the square of their mean
    expected = 0.02 * np.mean(np.exp(2 * design)) / np.mean(np.exp(design)) ** 2
    assert found.mean() == pytest.approx(expected, rel=0.03)
    assert np.isnan(moment_dispersion(counts, scale, np.zeros((0, 8)))).all()
    # negative control: with the difference between conditions left in, it is far larger
    crude = residual_maker({"S": 8, "design": np.zeros((8, 0)), "nuisance_design": np.zeros((8, 0))})
    assert moment_dispersion(counts, scale, crude).mean() > 1.5 * expected


@pytest.mark.parametrize(
    ("observed", "severity", "words"),
    [
        (100.0, 0, "All 3 test quantities of samples are like those of 200 replicates."),
        (95.0, 0, "within 10 %, though 1 lies outside what these differ by."),
        (80.0, 1, "1 of 3 test quantities of samples differ"),
    ],
)
def test_a_difference_that_replicates_do_not_have_is_told_even_where_it_does_not_matter(
    observed: float, severity: int, words: str
) -> None:
    row = {"quantity": "mean count", "observed": 100.0, "median": 100.0, "lower": 98.0, "upper": 102.0, "p_value": 0.6}
    odd = {**row, "observed": observed, "p_value": 0.6 if observed == 100 else 0.005}
    samples = pd.DataFrame([{"sample": "s1", **odd}, {"sample": "s2", **row}])
    genes = pd.DataFrame({"quantity": [*WITHIN], "share_below_0.01": 0.01})
    p = {name: np.full(100, 0.5) for name in WITHIN}
    first = PredictiveChecks(samples, pd.DataFrame([row]), pd.DataFrame(), genes, p, 0).findings()[0]
    assert first.severity == severity
    assert words in first.text
