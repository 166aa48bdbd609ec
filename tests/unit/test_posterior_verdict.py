"""Statuses of genes and the verdict in words."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayesexpr.posterior import verdict

GOOD = pd.DataFrame(
    {"rhat": [1.001, 1.003], "ess_bulk": [2000.0, 900.0], "ess_tail": [1500.0, 1000.0]}, index=["tau", "s"]
)


def judged(**changes: Any) -> verdict.Verdict:
    arguments: dict[str, Any] = {
        "status": ["ok"] * 1000 + ["all_zero"] * 50,
        "hyperparameters": GOOD,
        "divergences": 0,
        "ebfmi": [0.8, 0.9, 0.7, 1.0],
        "saturated": 0,
        "n_chains": 4,
        "n_draws": 1000,
    }
    return verdict.judge(**(arguments | changes))


def test_status_of_each_kind() -> None:
    status = verdict.gene_status(
        all_zero=[0, 1, 0, 0, 0, 0, 0, 0],
        rhat=[1.0, np.nan, 1.2, 1.0, 1.0, np.nan, 1.0, np.inf],
        ess_bulk=[2000, np.nan, 2000, 399, 2000, np.nan, 2000, 4],
        ess_tail=[2000, np.nan, 2000, 2000, 399, np.nan, 2000, 4],
        n_chains=4,
        n_draws=1000,
        outlier=[0, 1, 1, 1, 1, 1, 1, 0],
    )
    assert list(status) == ["ok", "all_zero", "high_rhat", "low_ess", "low_ess", "not_finite", "outlier", "high_rhat"]
    assert set(status) <= set(verdict.STATUS_WORDS)


def test_rhat_limit_of_a_gene_follows_its_effective_draws() -> None:
    limit = verdict.gene_rhat_limit(30_000, 4, 1000, [4000, 400, 10], [4000, 4000, 4000])
    assert limit[0] == 1.01
    assert 1.03 < limit[1] < 1.07
    assert limit[2] == limit[1]  # too few effective draws never loosen the limit further


def test_curve_of_the_limit_is_what_the_status_applies() -> None:
    ess, limit = verdict.rhat_limit_curve(5000, 4, 1000)
    assert ess[0] == 400
    assert ess[-1] == 4000
    assert limit[-1] == 1.01
    assert (np.diff(limit) <= 0).all()
    common = {"all_zero": np.zeros(5000), "ess_bulk": np.full(5000, ess[7]), "ess_tail": np.full(5000, 4000)}
    for shift, status in ((-1e-9, "ok"), (1e-9, "high_rhat")):
        got = verdict.gene_status(**common, rhat=np.full(5000, limit[7] + shift), n_chains=4, n_draws=1000)
        assert set(got) == {status}


def test_sound_fit_is_trustworthy() -> None:
    got = judged()
    assert got.level == "trustworthy"
    assert got.passed
    assert got.status_counts == {"all_zero": 50, "ok": 1000}
    assert "within their limits" in got.summary
    json.dumps(got.to_dict())


@pytest.mark.parametrize(
    ("changes", "level", "word"),
    [
        ({"divergences": 3}, "use with care", "3 of 4000 draws diverged"),
        ({"divergences": 200}, "not trustworthy", "200 of 4000"),
        ({"ebfmi": [0.8, 0.25, 0.7, 1.0]}, "use with care", "0.25"),
        ({"ebfmi": [0.8, 0.05, 0.7, 1.0]}, "not trustworthy", "0.05"),
        ({"ebfmi": [np.nan]}, "use with care", "E-BFMI"),
        ({"status": ["ok"] * 990 + ["low_ess"] * 10}, "use with care", "99 % of the 1000"),
        ({"status": ["ok"] * 900 + ["high_rhat"] * 100}, "not trustworthy", "100 high_rhat"),
        ({"status": ["all_zero"] * 9}, "not trustworthy", "No gene has a count"),
        ({"hyperparameters": GOOD.assign(rhat=[1.012, 1.0])}, "use with care", "tau"),
        ({"hyperparameters": GOOD.assign(rhat=[1.5, 1.0])}, "not trustworthy", "1.500"),
        ({"hyperparameters": GOOD.assign(ess_tail=[300, 900.0])}, "use with care", "300"),
        ({"hyperparameters": GOOD.assign(ess_bulk=[50.0, 900.0])}, "not trustworthy", "50"),
        ({"hyperparameters": GOOD.assign(rhat=[1.0, np.nan])}, "not trustworthy", "s, a parameter"),
        ({"n_chains": 1}, "use with care", "Only 1 chain"),
    ],
)
def test_each_fault_sets_the_level_and_is_named_first(changes: dict[str, Any], level: str, word: str) -> None:
    got = judged(**changes)
    assert got.level == level
    assert word in got.sentences[0]
    assert word in got.summary


def test_saturated_trees_and_outliers_are_noted_without_lowering_the_level() -> None:
    got = judged(saturated=40, status=["ok"] * 990 + ["outlier"] * 10)
    assert got.level == "trustworthy"
    assert any("40 of 4000" in sentence for sentence in got.sentences)
    assert any("10 genes have a count" in sentence for sentence in got.sentences)
    assert judged(status=["ok"] * 999 + ["outlier"]).level == "trustworthy"
