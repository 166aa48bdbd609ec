"""Checks that catch the published program's defects, and pass the program without them; one compiled program is all."""

from __future__ import annotations

import pytest

from bayesexpr.calibration.mutation import outcome_of
from bayesexpr.calibration.published import DEFECTS, NONE, PublishedBackend, PublishedScenario
from bayesexpr.calibration.published_checks import (
    CHECKS,
    an_empty_sample_is_fitted,
    density_agrees,
    estimand_is_the_total_change,
    log_lik_agrees,
    old_syntax_is_refused,
    prior_allows_what_studies_show,
)
from bayesexpr.calibration.verdict import FAIL
from bayesexpr.stan.toolchain import Toolchain

pytestmark = pytest.mark.needs_stan

BY_NUMBER = {defect.number: defect for defect in (NONE, *DEFECTS)}


def test_the_program_without_defects_is_passed_by_every_check(toolchain: Toolchain) -> None:
    backend = PublishedBackend(NONE).prepare()
    for check in CHECKS:
        found = check(backend)
        assert not found.caught, str(found)


@pytest.mark.parametrize(
    ("number", "check"),
    [
        (1, log_lik_agrees),
        (2, estimand_is_the_total_change),
        (2, density_agrees),
        (3, density_agrees),
        (3, an_empty_sample_is_fitted),
        (4, density_agrees),
        (4, prior_allows_what_studies_show),
        (5, density_agrees),
        (6, density_agrees),
    ],
)
def test_a_defect_is_caught(toolchain: Toolchain, number: int, check: object) -> None:
    backend = PublishedBackend(BY_NUMBER[number]).prepare()
    found = check(backend)  # type: ignore[operator]
    assert found.caught, str(found)


def test_a_wrong_log_lik_is_beyond_the_density(toolchain: Toolchain) -> None:
    assert not density_agrees(PublishedBackend(BY_NUMBER[1]).prepare()).caught


def test_the_old_array_syntax_is_refused(toolchain: Toolchain) -> None:
    found = old_syntax_is_refused()
    assert found.caught
    assert "stanc refuses the program" in found.words


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2, 6, 9])
def test_twenty_simulations_catch_the_gross_defects(toolchain: Toolchain, number: int) -> None:
    """20 real fits, seed 5, and 20 more to confirm the alarm."""
    backend = PublishedBackend(BY_NUMBER[number])
    found = outcome_of("", PublishedScenario(), backend, simulations=20, seed=5, workers=2, folder=None)
    assert found.status == FAIL
