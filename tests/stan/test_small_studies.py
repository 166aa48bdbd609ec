"""Fits of a few genes: every kind of design, and studies at the edge of what can be fitted at all."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import bayesexpr as bx
from bayesexpr.data.counts import CountData
from bayesexpr.stan.toolchain import Toolchain

pytestmark = pytest.mark.needs_stan

SETTINGS = bx.DESettings(chains=2, warmup=60, draws=60, cores=2)
TWO = {"group": ["a", "a", "b", "b"]}


def study(columns: dict[str, Any], genes: int = 6, counts: NDArray[np.int64] | None = None) -> CountData:
    """Negative binomial counts with mean 245 and dispersion 0.2; seed 1."""
    names = tuple(f"s{k}" for k in range(len(next(iter(columns.values())))))
    if counts is None:
        counts = np.random.default_rng(1).negative_binomial(5, 0.02, (len(names), genes))
    return CountData(counts, tuple(f"g{k}" for k in range(counts.shape[1])), names, pd.DataFrame(columns, index=names))


CASES = {
    "one gene": (study(TWO, 1), "~ group", "group,b,a"),
    "one sample a group": (study({"group": ["a", "b"]}), "~ group", "group,b,a"),
    "a number": (study({"dose": [1.0, 2.0, 3.0, 4.0, 5.0, 6.5]}), "~ dose", "dose"),
    "an interaction": (
        study({"group": list("aabbaabb"), "time": list("xxxxyyyy")}),
        "~ group * time",
        "group[1]:time[1]",
    ),
    "five levels": (study({"group": list("aabbccddee")}), "~ group", "group,e,a"),
    "the largest counts": (
        study(TWO, counts=np.array([[2**31 - 1, 5, 0], [2**31 - 1, 3, 7], [4, 2**30, 1], [0, 2, 2**31 - 1]])),
        "~ group",
        "group,b,a",
    ),
    "hardly a count": (
        study(TWO, counts=np.array([[0, 5, 1], [0, 3, 0], [0, 4, 0], [0, 2, 1]])),
        "~ group",
        "group,b,a",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_fitted_saved_and_reported(name: str, toolchain: Toolchain, tmp_path: Path) -> None:
    data, design, contrast = CASES[name]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the design has .* no sample is left")
        fit = bx.fit_de(data, design, settings=SETTINGS)
        effect = fit.contrast(contrast)
        back = bx.load(fit.save(tmp_path / "run"))
    table = effect.table
    assert table["gene"].tolist() == list(data.genes)
    fitted = data.expressed
    assert not table[fitted].isna().any().any()
    assert (table["status"] == "all_zero").to_numpy().tolist() == (~fitted).tolist()
    assert (table["ci_lower"][fitted] <= table["ci_upper"][fitted]).all()
    pd.testing.assert_frame_equal(back.contrast(contrast).table, table)
    assert back.report(tmp_path / "report.html", [effect]).stat().st_size > 10_000


def test_a_fit_of_three_draws_says_what_is_wrong_with_it(toolchain: Toolchain, tmp_path: Path) -> None:
    """Too few for any diagnostic: no gene has an answer, and the report says so instead of failing."""
    fit = bx.fit_de(study(TWO), "~ group", settings=bx.DESettings(chains=1, warmup=10, draws=3, cores=1))
    assert not fit.diagnose().passed
    assert set(fit.contrast("group", "b", "a").table["status"]) == {"not_finite"}
    back = bx.load(fit.save(tmp_path / "run"))
    for one in (fit, back):
        text = one.report(tmp_path / "report.html").read_text(encoding="utf-8")
        assert "not trustworthy" in text.lower()


def test_the_published_structure_is_an_option(toolchain: Toolchain) -> None:
    """One dispersion for all genes and a normal prior: every gene has the same dispersion, and no spike."""
    options = {"effects": "normal", "dispersion": "global"}
    fit = bx.fit_de(study(TWO), "~ group", options=options, settings=SETTINGS)
    table = fit.contrast("group", "b", "a").table
    assert np.ptp(table["dispersion"]) < 1e-6
    assert fit.unchanged is None
    assert fit.record["options"]["density"] == "kernel"
