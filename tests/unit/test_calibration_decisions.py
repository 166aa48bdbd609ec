"""Calibration of decisions, on a normal model whose posterior is exact, and with planted errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import ndtr

from bayesexpr.calibration.decisions import decision_report, lfsr, rate_bins, realised_rates, top_coverage
from bayesexpr.errors import InputError
from bayesexpr.posterior.decisions import svalue


@dataclass
class Study:
    """Genes [simulation, gene] with effect N(0, .7) observed with error .35: estimate, lfsr, wrong sign, covered."""

    estimate: np.ndarray
    rate: np.ndarray
    wrong: np.ndarray
    score: np.ndarray
    covered: np.ndarray


def study(seed: int, prior_sd: float = 0.7, noise_sd: float = 0.35, width: float = 1.0) -> Study:
    """What an analyst sees who believes in `prior_sd` and `noise_sd`; `width` scales the posterior sd."""
    rng = np.random.default_rng(seed)
    effect = rng.normal(0, 0.7, size=(20, 600))
    seen = effect + rng.normal(0, 0.35, size=effect.shape)
    shrink = prior_sd**2 / (prior_sd**2 + noise_sd**2)
    sd = width * np.sqrt(shrink) * noise_sd
    mean = shrink * seen
    rate = ndtr(-np.abs(mean) / sd)
    return Study(
        estimate=mean,
        rate=rate,
        wrong=np.sign(mean) != np.sign(effect),
        score=np.stack([svalue(r) for r in rate]),
        covered=np.abs(mean - effect) < 1.6449 * sd,
    )


def test_a_calibrated_study_keeps_its_promises() -> None:
    s = study(1)
    assert all(b.ok for b in rate_bins(s.rate, s.wrong))
    assert all(r.ok for r in realised_rates(s.score, s.rate, s.wrong))
    top = top_coverage(s.estimate, s.covered)
    assert top.n == 240
    assert top.ok


def test_listed_genes_state_their_error_rate() -> None:
    s = study(2)
    row = realised_rates(s.score, s.rate, s.wrong, levels=[0.05])[0]
    assert row.claimed == pytest.approx(s.rate[s.score < 0.05].mean())
    assert row.realised == pytest.approx(row.claimed, abs=3 * row.standard_error)
    assert row.listed > 5000


def report_of(s: Study) -> str:
    made = {"lfsr": s.rate, "lfdr": s.rate, "wrong_sign": s.wrong, "no_change": s.wrong}
    return str(decision_report({**made, "estimate": s.estimate, "covered": s.covered}))


def test_the_report_in_words() -> None:
    text = report_of(study(1))
    for part in ("12000 simulated genes: as stated", "false signs at s-value < 0.01:", "top 240 genes cover"):
        assert part in text
    assert "NOT as stated" in report_of(study(1, width=0.6))


@pytest.mark.parametrize("planted", [{"width": 0.6}, {"noise_sd": 0.15}])
def test_overconfidence_is_found_in_bins_and_lists(planted: dict[str, float]) -> None:
    s = study(3, **planted)
    assert not all(b.ok for b in rate_bins(s.rate, s.wrong))
    assert not all(r.ok for r in realised_rates(s.score, s.rate, s.wrong))


def test_a_prior_too_wide_shows_among_the_selected_only() -> None:
    """Overall coverage hardly moves; among the top 2 % it falls (noise .7, a belief in prior sd 3)."""
    rng = np.random.default_rng(4)
    effect = rng.normal(0, 0.7, size=20_000)
    seen = effect + rng.normal(0, 0.7, size=effect.shape)
    shrink = 9 / (9 + 0.49)
    covered = np.abs(shrink * seen - effect) < 1.6449 * np.sqrt(shrink) * 0.7
    assert covered.mean() == pytest.approx(0.9, abs=0.03)
    assert not top_coverage(shrink * seen, covered).ok


def test_few_genes_are_not_judged() -> None:
    bins = rate_bins(np.full(199, 0.005), np.ones(199, dtype=bool))
    assert bins[0].n == 199
    assert bins[0].ok
    assert not rate_bins(np.full(200, 0.005), np.ones(200, dtype=bool))[0].ok
    assert np.isnan(bins[1].claimed)


def test_an_empty_list_is_no_evidence() -> None:
    row = realised_rates(np.full((2, 3), 0.9), np.full((2, 3), 0.9), np.zeros((2, 3)), levels=[0.05])[0]
    assert (row.listed, row.ok) == (0, True)


def test_lfsr_is_never_zero() -> None:
    """calibration 2.8 (iv): (k + 1/2) / (L + 1)."""
    np.testing.assert_allclose(lfsr([0, 4000], 4000), [0.5 / 4001, 4000.5 / 4001])


def test_shapes_must_agree() -> None:
    with pytest.raises(InputError):
        rate_bins([0.1, 0.2], [True])
    with pytest.raises(InputError):
        realised_rates([[0.1]], [[0.1, 0.2]], [[True]])
