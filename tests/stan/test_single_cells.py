"""Real single cells: zero inflation is compared gene by gene, and called needed where it was planted only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesexpr.errors import InputError
from bayesexpr.fitting import fit
from bayesexpr.stan.toolchain import Toolchain
from bayesexpr.zero_inflation import compare

pytestmark = pytest.mark.needs_stan


def test_two_cell_lines(shared_data: Path, toolchain: Toolchain) -> None:
    # CEL-seq2 counts of 195 cells of two lines: unique molecules, which a negative binomial is known to fit without
    # zero inflation. The last gene is the first with 30 % of its cells set to zero (seed 4).
    folder = shared_data / "sc_celseq2_3cl"
    counts = pd.read_csv(folder / "counts.csv.gz", index_col=0)
    line = pd.read_csv(folder / "cells.csv.gz", index_col=0)["cell_line_demuxlet"]
    kept = line.isin(["H1975", "H2228"]).to_numpy()
    table = counts.to_numpy()[:, kept].T
    order = np.argsort(-table.mean(axis=0))
    y = table[:, order[[100, 400, 1500, 4000]]]
    silent = np.random.default_rng(4).uniform(size=len(y)) < 0.3
    y = np.column_stack([y, np.where(silent, 0, y[:, 0])])
    total = table.sum(axis=1)
    data = {
        "count": y,
        "design": (line[kept] == "H2228").to_numpy(dtype=float)[:, None] - 0.5,
        "log_size_factor": np.log(total) - np.log(total).mean(),
    }
    settings = {"seed": 1, "cores": 2, "warmup": 300, "draws": 300}
    name = "zero_inflated_negative_binomial"
    inflated = fit(name, data, options={"dispersion": "effects"}, **settings)
    plain = fit(name, data, options={"zero_inflation": "none"}, **settings)
    assert inflated.verdict.passed, inflated.verdict.summary
    found = compare(inflated, plain)
    assert found["needed"].tolist() == [False, False, False, False, True]
    assert (found["pareto_k"] < 0.7).all()
    share = 1 / (1 + np.exp(-inflated.draws("logit_pi")[:, 4]))
    low, high = np.quantile(share, [0.01, 0.99])
    assert low < silent.mean() < high
    with pytest.raises(InputError, match="is compared with one of zero_inflation = none"):
        compare(plain, inflated)
    other = fit(name, {**data, "count": y + 1}, options={"zero_inflation": "none"}, method="laplace", seed=1)
    with pytest.raises(InputError, match="on the same counts"):
        compare(inflated, other)
