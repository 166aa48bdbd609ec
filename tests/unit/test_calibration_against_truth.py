"""Measures against the truth: by hand, and of another tool's table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayesexpr.calibration.against_truth import COLUMNS, truth_metrics
from bayesexpr.errors import InputError


def made() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Nine genes, three of each expression; four changed, one of those called with the wrong sign."""
    table = pd.DataFrame(
        {
            "gene": [f"g{k}" for k in range(9)],
            "baseMean": [1.0, 2, 3, 10, 20, 30, 100, 200, 300],
            "qvalue": [0.001, 0.02, np.nan, 0.03, 0.2, 0.9, 0.001, 0.04, 0.5],
            "svalue": [0.001, 0.02, np.nan, 0.03, 0.2, 0.9, 0.001, 0.04, 0.5],
            "log2FoldChange": [2.0, 0.5, np.nan, -1.0, 0.1, 0.0, 1.5, -1.0, 0.2],
        }
    )
    truth = pd.DataFrame({"gene": table["gene"], "true_log2fc": [2.0, 0, 1, 1, 0, 0, 1, 0, 0]})
    return table, truth


def value(found: pd.DataFrame, expression: str, measure: str, at: float) -> tuple[int, float]:
    row = found[(found["expression"] == expression) & (found["measure"] == measure) & np.isclose(found["at"], at)]
    assert len(row) == 1
    return int(row["genes"].iloc[0]), float(row["value"].iloc[0])


def test_measures_by_hand() -> None:
    found = truth_metrics(*made(), tops=(2, 4))
    assert tuple(found.columns) == COLUMNS
    assert value(found, "all", "false discovery rate", 0.05) == (5, pytest.approx(0.4))
    assert value(found, "all", "true positive rate", 0.05) == (4, pytest.approx(0.75))
    assert value(found, "all", "false sign rate", 0.05) == (5, pytest.approx(0.6))  # two unchanged, one turned
    assert value(found, "all", "false discovery rate", 0.01) == (2, 0.0)
    assert value(found, "all", "false discoveries", 2) == (2, 0.0)
    assert value(found, "all", "false discoveries", 4) == (4, 1.0)
    assert value(found, "low", "false discovery rate", 0.05) == (2, pytest.approx(0.5))
    assert value(found, "high", "true positive rate", 0.05) == (1, 1.0)
    assert value(found, "all", "mean error", 1) == (3, pytest.approx((0 - 2 + 0.5) / 3))
    assert value(found, "all", "root mean square error", 0) == (5, pytest.approx(np.sqrt((0.25 + 0.01 + 1 + 0.04) / 5)))


def test_a_table_of_another_tool() -> None:
    """DESeq2's columns; it says no signs. The same scores give the same lists."""
    table, truth = made()
    other = table.rename(columns={"qvalue": "padj"}).drop(columns="svalue")
    found = truth_metrics(other, truth, score="padj", sign_score=None)
    assert "false sign rate" not in set(found["measure"])
    ours = truth_metrics(table, truth)
    same = ours[ours["measure"] != "false sign rate"].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, same)


def test_what_is_missing_is_named() -> None:
    table, truth = made()
    with pytest.raises(InputError, match="no column 'padj'"):
        truth_metrics(table, truth, score="padj")
    with pytest.raises(InputError, match="no row for 'g1'"):
        truth_metrics(table, truth[truth["gene"] != "g1"])
