"""Outlying counts: those far outside what all the other counts predict for them.

Each count is held against its own leave-one-out predictive distribution, so that it cannot widen the prediction that
it is judged by, and the tail probabilities of the whole table are adjusted for their number by Holm's step-down.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesexpr.empirical_bayes.leave_one_out import LeftOut
from bayesexpr.empirical_bayes.outlying import LEVEL
from bayesexpr.posterior.predictive import holm
from bayesexpr.posterior.verdict import Finding

from .measured import Measured
from .store import write_atomically

MANY = 0.001
"""Share of outlying counts above which to take care: the model has not met them."""

COLUMNS = ("gene", "sample", "count", "expected", "tail_probability", "adjusted", "pareto_k")


def outlying_cells(
    found: LeftOut, counts: NDArray[np.int64], genes: Sequence[str], samples: Sequence[str], level: float = LEVEL
) -> pd.DataFrame:
    """List the outlying counts, the least probable first.

    Parameters
    ----------
    found
        Leave-one-out of the table.
    counts
        [S, G].
    genes, samples
        Names.
    level
        Adjusted tail probability below which a count is outlying: the probability of any false one in the table.
    """
    adjusted = holm(found.tail)
    where = np.argwhere(adjusted < level)
    where = where[np.argsort(found.tail[tuple(where.T)], kind="stable")]
    rows = [
        (
            genes[g],
            samples[s],
            int(counts[s, g]),
            float(found.expected[s, g]),
            float(found.tail[s, g]),
            float(adjusted[s, g]),
            float(found.pareto_k[s, g]),
        )
        for s, g in where
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def mark_outliers(run: str | os.PathLike[str], genes: Collection[str]) -> int:
    """Give genes the status ``outlier`` in the tables of a RUN folder, where their status was ``ok``.

    Every other byte stays as it is; each table is replaced as a whole.

    Returns
    -------
    int
        Number of genes that had been ``ok``.
    """
    marked = 0
    for path in sorted([*Path(run).glob("results*.csv"), *Path(run).glob("genes.csv")]):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        hit = table["gene"].isin(list(genes)) & (table["status"] == "ok")
        if hit.any():
            table.loc[hit, "status"] = "outlier"
            write_atomically(path, table.to_csv(index=False))
        marked = max(marked, int(hit.sum()))
    return marked


def finding(table: pd.DataFrame, cells: int, marked: int) -> Finding:
    """Say how many counts are outlying.

    Parameters
    ----------
    table
        As :func:`outlying_cells` returns it.
    cells
        Number of counts looked at.
    marked
        Number of genes with status ``outlier`` in the results.
    """
    if not len(table):
        return Measured(0, f"None of {cells} counts is outlying, each predicted from all others.", topic="outliers")
    first = table.iloc[0]
    text = (
        f"{len(table)} of {cells} counts, of {table['gene'].nunique()} genes, are outlying (the results mark {marked} "
        f"genes as outlier); the most is {first['gene']} in {first['sample']}: {first['count']}, predicted about "
        f"{first['expected']:.3g}."
    )
    return Measured(int(len(table) > MANY * cells), text, len(table) / (MANY * cells), topic="outliers")
