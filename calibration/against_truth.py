"""How any tool's table of results fares where the truth is known: ours, DESeq2's, edgeR's, in the same numbers.

The measures are those by which iCOBRA (Soneson and Robinson 2016, Nature Methods 13:283) compares rankings and lists:
false discovery rate against power at common cut-offs, false sign rate against the number of signs said, false
discoveries among the first genes of the ranking, and how far estimates are from the truth, all of them over all genes
and by expression.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesexpr.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

LEVELS = (0.01, 0.05, 0.1)
TOPS = (50, 100, 200, 500, 1000)
STRATA = ("low", "medium", "high")
COLUMNS = ("expression", "measure", "at", "genes", "value")


def truth_metrics(
    table: pd.DataFrame,
    truth: pd.DataFrame,
    *,
    score: str = "qvalue",
    sign_score: str | None = "svalue",
    estimate: str = "log2FoldChange",
    expression: str = "baseMean",
    levels: Sequence[float] = LEVELS,
    tops: Sequence[int] = TOPS,
) -> pd.DataFrame:
    """Hold a table of results against the truth.

    Parameters
    ----------
    table
        One row per gene: ``gene`` and the columns named below. Genes without a score are neither called nor ranked.
    truth
        Columns ``gene`` and ``true_log2fc``; a gene is changed where that is not zero.
    score
        What lists are cut by, small for sure: ``qvalue``; ``padj`` of DESeq2; ``FDR`` of edgeR.
    sign_score
        What signs are said by; None where the tool has no such thing.
    estimate
        Log2 fold change.
    expression
        Mean count, by whose thirds genes are grouped.
    levels
        Cut-offs of both scores.
    tops
        Lengths of the ranking's head.

    Returns
    -------
    pandas.DataFrame
        Columns `COLUMNS`, for all genes and for each third of expression (``low``, ``medium``, ``high``); ``genes`` is
        what the value is a share or mean of. Measures: ``false discovery rate``, ``true positive rate`` and ``false
        sign rate`` at each level; ``false discoveries`` among the first genes by score; ``mean error`` and
        ``root mean square error`` of the estimates of the unchanged and of the changed genes.

    Raises
    ------
    InputError
        A column is not there, or a gene of the table has no truth.
    """
    import pandas as pd

    needed = [score, estimate, expression, *([sign_score] if sign_score else [])]
    absent = [name for name in ["gene", *needed] if name not in table.columns]
    if absent:
        raise InputError(f"the table of results has no column {absent[0]!r}; it has {', '.join(map(str, table))}.")
    true = truth.drop_duplicates("gene").set_index("gene")["true_log2fc"].reindex(table["gene"]).to_numpy(float)
    values = {name: table[name].to_numpy(float) for name in needed}
    missing = np.isnan(true) & ~np.isnan(values[score])
    if missing.any():
        raise InputError(f"the truth has no row for {table['gene'].to_numpy()[missing][0]!r} ({missing.sum()} such).")
    known = ~np.isnan(true)
    size = values[expression]
    cuts = np.quantile(size[known], [1 / 3, 2 / 3]) if known.any() else np.zeros(2)
    third = np.searchsorted(cuts, size, side="right")
    rows: list[tuple[Any, ...]] = []
    for name, here in (("all", known), *((STRATA[k], known & (third == k)) for k in range(3))):
        found = _Group(true[here], values[score][here], values[estimate][here])
        rows += [(name, *row) for row in (*found.lists(levels), *found.ranking(tops), *found.deviations())]
        if sign_score:
            rows += [(name, *row) for row in found.signs(values[sign_score][here], levels)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


class _Group:
    """Some genes: true changes, scores and estimates, [gene] each."""

    def __init__(self, true: NDArray[Any], score: NDArray[Any], estimate: NDArray[Any]) -> None:
        self.true, self.score, self.estimate = true, score, estimate
        self.changed = true != 0

    def lists(self, levels: Sequence[float]) -> list[tuple[str, float, int, float]]:
        """Give false discovery rate and true positive rate of the list at each level."""
        rows = []
        for level in levels:
            called = self.score < level
            rows.append(("false discovery rate", level, int(called.sum()), _share(~self.changed, called)))
            rows.append(("true positive rate", level, int(self.changed.sum()), _share(called, self.changed)))
        return rows

    def signs(self, score: NDArray[Any], levels: Sequence[float]) -> list[tuple[str, float, int, float]]:
        """Give the share of wrong signs among those said at each level; a change of exactly zero has no sign."""
        wrong = np.sign(self.estimate) != np.sign(self.true)
        return [("false sign rate", x, int((score < x).sum()), _share(wrong, score < x)) for x in levels]

    def ranking(self, tops: Sequence[int]) -> list[tuple[str, float, int, float]]:
        """Count unchanged genes among the first by score; ties go to the larger estimate."""
        ranked = np.flatnonzero(~np.isnan(self.score))
        order = ranked[np.lexsort((-np.abs(self.estimate[ranked]), self.score[ranked]))]
        false = ~self.changed[order]
        return [("false discoveries", top, top, float(false[:top].sum())) for top in tops if top <= len(order)]

    def deviations(self) -> list[tuple[str, float, int, float]]:
        """Give errors of the estimates; `at` is 0 for the unchanged and 1 for the changed genes."""
        rows = []
        for at, group in ((0.0, ~self.changed), (1.0, self.changed)):
            error = (self.estimate - self.true)[group]
            error = error[~np.isnan(error)]
            mean, rms = (float(error.mean()), float(np.sqrt((error**2).mean()))) if error.size else (np.nan, np.nan)
            rows += [("mean error", at, error.size, mean), ("root mean square error", at, error.size, rms)]
        return rows


def _share(of: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    return float(of[among].mean()) if among.any() else float("nan")
