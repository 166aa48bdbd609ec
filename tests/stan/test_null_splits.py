"""Replicates of one condition split in two halves: nothing to find, in real counts that no simulator made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesexpr as bx
from bayesexpr.data.counts import CountData
from bayesexpr.stan.toolchain import Toolchain

pytestmark = [pytest.mark.needs_stan, pytest.mark.slow]

MOST = 0.01
"""Share of genes that may be called at a q-value of 5 % where nothing differs but the donors."""


def called(data: CountData, first: list[int], second: list[int]) -> float:
    """Share of genes called between two groups of samples, of every sixth gene with counts."""
    rows = [*first, *second]
    genes = np.flatnonzero(data.counts[rows].any(axis=0))[::6]
    names = tuple(data.samples[r] for r in rows)
    table = pd.DataFrame({"half": ["a"] * len(first) + ["b"] * len(second)}, index=list(names))
    part = CountData(data.counts[np.ix_(rows, genes)], tuple(data.genes[g] for g in genes), names, table)
    fit = bx.fit_de(part, "~ half", method="eb", seed=1, cores=1)
    return float((fit.contrast("half", "b", "a").table["qvalue"] < 0.05).mean())


def test_halves_of_one_condition_do_not_differ(toolchain: Toolchain, shared_data: Path) -> None:
    """Airway, four donors untreated and treated: all six splits of two against two; found, at most 0.1 %."""
    folder = shared_data / "airway"
    data = bx.read_counts(folder / "counts.csv.gz", samples=folder / "samples.csv")
    treated = data.sample_table["dex"].to_numpy() == "trt"
    for condition in (False, True):
        rows = np.flatnonzero(treated == condition).tolist()
        for other in (1, 2, 3):
            first = [rows[0], rows[other]]
            assert called(data, first, [r for r in rows if r not in first]) <= MOST, (condition, other)
    # the control: the same donors, two of them treated
    untreated, dosed = (np.flatnonzero(treated == c).tolist()[:2] for c in (False, True))
    assert called(data, untreated, dosed) > MOST
