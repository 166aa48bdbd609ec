"""The gene tables of a page: their columns, and their rows as data for the page's script."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

ROWS_OF_TOP = 20


@dataclass(frozen=True)
class Column:
    """A column of the gene tables; `kind` says how its values are written: text, count, log2 or share."""

    key: str
    label: str
    kind: str
    words: str


def table_json(table: pd.DataFrame, called: np.ndarray[Any, Any], lfc_threshold: float, budget: int) -> tuple[str, int]:
    """Make the gene table as JSON that is safe inside a script element, and the number of genes in it.

    Genes without an answer are left out. Numbers keep four significant digits.
    """
    flags = pd.Series(np.asarray(called, dtype=bool), index=table.index)
    shown = table[table["lfdr"].notna()].sort_values("lfdr", kind="stable")
    shown_columns = columns(lfc_threshold)
    statuses = sorted(set(shown["status"].astype(str)))
    text = ""
    while True:
        data = {
            "columns": [{"key": c.key, "label": c.label, "kind": c.kind, "words": c.words} for c in shown_columns],
            "statuses": statuses,
            "rows": {c.key: _values(shown, c.key, statuses) for c in shown_columns},
            "called": flags[shown.index].astype(int).tolist(),
        }
        text = json.dumps(data, separators=(",", ":"), allow_nan=False)
        text = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
        if len(text) <= budget or len(shown) <= ROWS_OF_TOP:
            return text, len(shown)
        shown = shown.head(max(ROWS_OF_TOP, int(0.97 * len(shown) * budget / len(text))))


def columns(lfc_threshold: float) -> tuple[Column, ...]:
    """Columns of the gene tables, in order."""
    return (
        Column("gene", "gene", "text", "name in the count table"),
        Column("baseMean", "mean count", "count", "mean of normalised counts"),
        Column("log2FoldChange", "log2 FC", "log2", "posterior mean log2 fold change"),
        Column("ci_lower", "lower", "log2", "lower end of the interval"),
        Column("ci_upper", "upper", "log2", "upper end of the interval"),
        Column("lfc_if_changed", "if changed", "log2", "posterior mean log2 fold change given that there is a change"),
        Column(
            "prob_gt",
            f"P(>{lfc_threshold:g})",
            "share",
            f"probability that |log2 fold change| exceeds {lfc_threshold:g}",
        ),
        Column(
            "lfsr", "lfsr", "share", "local false sign rate: probability that the sign is wrong or there is no change"
        ),
        Column("svalue", "s-value", "share", "mean lfsr of all genes at least as sure of their sign"),
        Column("lfdr", "lfdr", "share", "probability of no material change"),
        Column("qvalue", "q-value", "share", "mean lfdr of all genes at least as sure"),
        Column("status", "status", "text", "what the diagnostics say of this gene"),
    )


def _values(table: pd.DataFrame, key: str, statuses: list[str]) -> list[Any]:
    if key == "gene":
        return [str(name) for name in table[key]]
    if key == "status":
        return [statuses.index(str(name)) for name in table[key]]
    return [None if not np.isfinite(value) else _short(value) for value in table[key].to_numpy(float)]


def _short(value: float) -> float | int:
    rounded = float(f"{value:.4g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
