"""What planted errors do to decisions: 12,000 genes in three against three samples, posteriors exact on a grid.

A program may cover as stated over all genes and still be wrong of those that are listed, for which it is asked.
"""

from __future__ import annotations

import numpy as np
import pytest

from bayesexpr.calibration.controls import BUGS, NO_BUG, GridBackend, TwoGroupScenario
from bayesexpr.calibration.decisions import DecisionReport, decision_report, lfsr

pytestmark = pytest.mark.slow

NAMED = {bug.name: bug for bug in (NO_BUG, *BUGS)}
L = 399
INSIDE = (20, 379)
"""Ranks that the 90 % interval of L draws holds."""


def decisions(name: str, studies: int = 24, genes: int = 500) -> tuple[DecisionReport, float]:
    """Decisions on the reported effect, and the coverage of 90 % intervals over all genes; seeds 1, 0 to 23."""
    made: dict[str, list[np.ndarray]] = {}
    for k in range(studies):
        truth, data = TwoGroupScenario(genes).simulate(np.random.default_rng([1, k]))
        draws = GridBackend(NAMED[name], size=L).fit(data, seed=k).draws["reported_effect"][0]
        true = truth["reported_effect"]
        above, rank = (draws > 0).sum(axis=0), (draws < true).sum(axis=0)
        rate = lfsr(np.minimum(above, L - above), L)
        wrong = np.where(above > L / 2, true <= 0, true >= 0)
        inside = (rank >= INSIDE[0]) & (rank <= INSIDE[1])
        found = {"lfsr": rate, "lfdr": rate, "wrong_sign": wrong, "no_change": wrong, "covered": inside}
        for key, values in (found | {"estimate": draws.mean(axis=0)}).items():
            made.setdefault(key, []).append(values)
    arrays = {key: np.stack(values) for key, values in made.items()}
    return decision_report(arrays), float(arrays["covered"].mean())


@pytest.mark.parametrize(
    ("name", "overall", "top", "false_signs"),
    [
        ("no error", 0.896, 0.88, 0.011),
        ("half the effect", 0.92, 0.80, 0.004),
        ("prior sd of beta doubled", 0.898, 0.81, 0.013),
        ("prior of beta: variance for sd", 0.866, 0.78, 0.007),
        ("offsets forgotten", 0.86, 0.89, 0.014),
        ("draws drawn together by 0.8", 0.82, 0.82, 0.02),
        ("Poisson in place of negative binomial", 0.413, 0.41, 0.079),
    ],
)
def test_errors_show_in_decisions(name: str, overall: float, top: float, false_signs: float) -> None:
    """Coverage over all genes and of the top 2 % (240 genes), and the share of wrong signs at an s-value of 1 %.

    Tolerances: .015, .06 (two to three standard errors), and .003 or a tenth.
    """
    report, covered = decisions(name)
    assert covered == pytest.approx(overall, abs=0.015)
    assert report.top.n == 240
    assert report.top.observed == pytest.approx(top, abs=0.06)
    assert report.svalue[0].realised == pytest.approx(false_signs, abs=0.003, rel=0.1)
    assert report.ok == (name == "no error"), str(report)
