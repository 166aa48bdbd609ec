"""The report of a campaign: what its sections say of alarms, failures, decisions and their worth."""

from __future__ import annotations

import dataclasses
import html

import fake_calibration as fake
import numpy as np
import pytest
from fake_analysis import HOSTILE
from test_calibration_decisions import study

from bayesexpr.calibration.backend import FunctionBackend
from bayesexpr.calibration.campaign import run_campaign
from bayesexpr.calibration.result import Campaign


@pytest.fixture(scope="module")
def sound() -> Campaign:
    return run_campaign(fake.SCENARIO, FunctionBackend(fake.exact), simulations=40, seed=1)


def test_a_sound_campaign_says_what_it_is_worth(sound: Campaign) -> None:
    sections = sound.sections()
    assert list(sections) == ["summary", "asked", "trust", "sure", "again"]
    assert '<p class="verdict pass">' in sections["summary"].body
    assert str(sound.verdict.severity) in html.unescape(sections["sure"].body)
    assert 'class="alarm"' not in sections["trust"].body
    assert sections["trust"].body.count("<img") == 4
    for key in ("scenario_digest", "backend_digest"):
        assert str(sound.identity[key]) in sections["again"].body


@pytest.mark.parametrize(("width", "kept"), [(1.0, True), (0.5, False)])
def test_decisions_are_told_with_what_came_true(sound: Campaign, width: float, kept: bool) -> None:
    """An analyst whose posterior is half as wide as it should be claims too few wrong signs; 12 000 genes, seed 1."""
    seen = study(1, width=width)
    made = {
        "lfsr": seen.rate,
        "lfdr": seen.rate,
        "wrong_sign": seen.wrong,
        "no_change": seen.wrong,
        "estimate": seen.estimate,
        "covered": seen.covered,
    }
    campaign = dataclasses.replace(sound, decisions=made)
    report = campaign.decision_report()
    assert report is not None
    assert report.ok is kept
    body = campaign.sections()["sure"].body
    assert ('<td class="words">NO</td>' in body) is not kept
    assert f"{report.qvalue[-1].listed:,}" in body


def test_failed_simulations_are_listed_as_text(sound: Campaign) -> None:
    failures = dict.fromkeys(range(25), HOSTILE[0])
    failed = dataclasses.replace(sound, table=dataclasses.replace(sound.table, failures=failures))
    failed = dataclasses.replace(failed, verdict=dataclasses.replace(sound.verdict, failed=25))
    body = failed.sections()["asked"].body
    assert HOSTILE[0] not in body
    assert html.unescape(body).count(HOSTILE[0]) == 20
    assert "the first 20 of 25" in body


def test_a_campaign_without_any_rank_still_has_a_report(sound: Campaign) -> None:
    nothing = dataclasses.replace(sound.table, rank=np.full_like(sound.table.rank, -1))
    empty = tuple(dataclasses.replace(q, N=0, coverage=None, sharpness=None) for q in sound.verdict.quantities)
    bare = dataclasses.replace(
        sound, table=nothing, verdict=dataclasses.replace(sound.verdict, quantities=empty, severity=None)
    )
    page = bare.sections().html()
    assert "<img" not in page.split('id="trust"')[1]
