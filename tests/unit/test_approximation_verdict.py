"""Statuses and verdict of an empirical-Bayes fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bayesexpr.posterior.approximation_verdict import approximation_status, judge_approximation
from bayesexpr.posterior.verdict import STATUS_WORDS

GENES = 1000


def fine(**other: Any) -> dict[str, Any]:
    return {
        "all_zero": np.zeros(GENES, dtype=bool),
        "k": np.full(GENES, 0.3),
        "moved": np.zeros(GENES, dtype=bool),
        "rhat": np.full(GENES, np.nan),
        "ess_bulk": np.full(GENES, 500.0),
        "ess_tail": np.full(GENES, 400.0),
        "n_draws": 1000,
        "outlier": np.zeros(GENES, dtype=bool),
        **other,
    }


def first(value: Any, rest: Any) -> Any:
    out = np.full(GENES, rest)
    out[0] = value
    return out


@pytest.mark.parametrize(
    ("other", "status"),
    [
        ({}, "ok"),
        ({"all_zero": first(True, False), "k": first(np.nan, 0.3)}, "all_zero"),
        ({"ess_tail": first(99.0, 400.0)}, "low_ess"),
        ({"ess_bulk": first(np.nan, 400.0)}, "not_finite"),
        ({"k": first(np.nan, 0.3)}, "not_finite"),
        ({"outlier": first(True, False)}, "outlier"),
        ({"k": first(1.2, 0.3), "moved": first(True, False), "rhat": first(1.005, np.nan)}, "ok"),
        ({"k": first(1.2, 0.3), "moved": first(True, False), "rhat": first(1.3, np.nan)}, "high_rhat"),
        ({"k": first(1.2, 0.3), "moved": first(True, False)}, "high_rhat"),
    ],
)
def test_statuses(other: dict[str, Any], status: str) -> None:
    found = approximation_status(**fine(**other))
    assert found[0] == status
    assert (found[1:] == "ok").all()
    assert set(found) <= set(STATUS_WORDS)


def verdict(
    status: str = "ok",
    genes: int = GENES,
    bad: int = 0,
    steps: tuple[float, ...] = (2.0, 0.1),
    largest: float = 0.5,
    tau: float = 0.1,
    log_tau: float = -1.0,
) -> Any:
    statuses = np.array([status] * bad + ["ok"] * (genes - bad), dtype=object)
    moved = np.arange(genes) < 3
    return judge_approximation(
        status=statuses,
        k=np.full(genes, 0.4),
        moved=moved,
        k_limit=0.7,
        steps=steps,
        largest=(5.0, largest),
        hyperparameters={"logit_sigma_phi": {"mean": 3.0, "sd": 1.2}, "log_tau[0]": {"mean": log_tau, "sd": tau}},
    )


def test_a_sound_approximation_is_trusted_and_called_one() -> None:
    found = verdict()
    assert found.level == "trustworthy"
    words = " ".join(found.sentences)
    assert "approximation" in words
    assert "3 genes with unusable ones were sampled by Markov chains" in words
    assert "R-hat" not in words


@pytest.mark.parametrize(
    ("given", "level", "words"),
    [
        ({"steps": (2.0, 1.9)}, "use with care", "1.9 posterior standard deviations"),
        ({"steps": (2.0, 4.5)}, "not trustworthy", "4.5 posterior standard deviations"),
        ({"steps": (2.0, float("nan"))}, "not trustworthy", "nan"),
        ({"steps": (2.0, 0.69), "largest": 10.0}, "use with care", "furthest off 10 of its own"),
        ({"steps": (2.0, 0.69), "largest": 13.0}, "not trustworthy", "furthest off 13 of its own"),
        ({"steps": (2.0, 0.69), "largest": float("nan")}, "not trustworthy", "furthest off nan"),
        ({"steps": (2.0, 0.69), "largest": 2.4}, "trustworthy", ""),
        ({"status": "low_ess", "bad": 10}, "use with care", "10 low_ess"),
        ({"status": "high_rhat", "bad": 50}, "not trustworthy", "50 high_rhat"),
        ({"genes": 60}, "use with care", "Only 60 genes"),
        ({"tau": 1.5}, "use with care", "Little is known of log_tau[0] "),
        ({"tau": 0.3, "log_tau": -4.0}, "use with care", "a scale near 0"),
        ({"tau": 0.3}, "trustworthy", ""),
        ({"tau": 0.1, "log_tau": -4.0}, "trustworthy", ""),
    ],
)
def test_what_is_wrong_is_said_first(given: dict[str, Any], level: str, words: str) -> None:
    found = verdict(**given)
    assert found.level == level
    assert words in found.summary
