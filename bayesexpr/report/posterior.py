"""The report of a differential-expression run, section by section in the order of a reader's questions."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from bayesexpr.posterior.verdict import STATUS_WORDS
from bayesexpr.report import figures
from bayesexpr.report.checks import check_context, diagnostics_of
from bayesexpr.report.content import ContrastContent, ReportContent, top_genes
from bayesexpr.report.gene_table import ROWS_OF_TOP, columns, table_json
from bayesexpr.report.page import Report, environment

TABLE_BYTES = 6_000_000
"""Most bytes of gene tables in the page; beyond them each contrast lists its surest genes only, and says so."""

SECTIONS = ("summary", "asked", "trust", "changed", "sure", "again")


def posterior_report(content: ReportContent) -> Report:
    """Make the report of a run: sections ``summary``, ``asked``, ``trust``, ``changed``, ``sure`` and ``again``."""
    budget = TABLE_BYTES // max(len(content.contrasts), 1)

    @cache
    def contrasts() -> list[dict[str, Any]]:
        return [_contrast(content, contrast, budget) for contrast in content.contrasts]

    def maker(key: str, images: Callable[[ReportContent], Any] | None = None) -> Callable[[], str]:
        def make() -> str:
            return environment().get_template(f"posterior/{key}.html").render(
                content=content,
                contrasts=contrasts(),
                images=[] if images is None else images(content),
                genes=len(content.contrasts[0].table),
                answered=int(content.contrasts[0].table["lfdr"].notna().sum()),
                status_words=STATUS_WORDS,
                judged=content.certificate or content.verdict,
                diagnosed=diagnostics_of((content.certificate or content.verdict).findings),
                **(check_context(content.certificate) if key == "trust" else {}),
                chains=figures.chains(content.shared) if key == "trust" else [],
            )  # fmt: skip

        return make

    drawn = {"asked": lambda c: figures.overview(c), "trust": lambda c: figures.trust(c)}
    return Report(content.title, {key: maker(key, drawn.get(key)) for key in SECTIONS})


def _contrast(content: ReportContent, contrast: ContrastContent, budget: int) -> dict[str, Any]:
    effect = contrast.table["log2FoldChange"].to_numpy(float)
    data, listed = table_json(contrast.table, contrast.called, contrast.lfc_threshold, budget)
    answered = int(contrast.table["lfdr"].notna().sum())
    return {
        "it": contrast,
        "up": int(np.count_nonzero(contrast.called & (effect > 0))),
        "down": int(np.count_nonzero(contrast.called & (effect < 0))),
        "large": int(np.count_nonzero(contrast.table["prob_gt"].to_numpy(float) > 0.95)),
        "images": figures.changes(content, contrast),
        "sureness": figures.sureness(contrast, content.interval),
        "top": top_genes(contrast.table, contrast.called, ROWS_OF_TOP).to_dict("records"),
        "columns": columns(contrast.lfc_threshold),
        "data": Markup(data),
        "listed": listed,
        "answered": answered,
        "truth": None if contrast.truth is None else _against_truth(contrast, contrast.truth, content.interval),
    }


def _against_truth(contrast: ContrastContent, truth: pd.DataFrame, interval: float) -> list[tuple[str, str]]:
    """Rows of words and numbers: calls and intervals against the known truth."""
    joined = contrast.table.assign(called=contrast.called).merge(truth, on="gene", how="inner")
    joined = joined[joined["lfdr"].notna()]
    real = joined["true_log2fc"].to_numpy(float)
    called = joined["called"].to_numpy(bool)
    held = (joined["ci_lower"].to_numpy(float) <= real) & (real <= joined["ci_upper"].to_numpy(float))
    size = joined["log2FoldChange"].abs().to_numpy(float)
    largest = np.argsort(-size, kind="stable")[: max(1, round(0.02 * len(size)))]
    false = called & (real == 0)
    cover = f"of the {100 * interval:g} % intervals hold the truth"
    rows = [
        (
            "Genes called",
            f"{called.sum()}, of which {false.sum()} truly unchanged ({_share(false.sum(), called.sum())})",
        ),
        ("Changed genes that are called", _share((called & (real != 0)).sum(), (real != 0).sum())),
        ("All genes", f"{_share(held.sum(), held.size)} {cover}"),
        ("Truly changed genes", f"{_share(held[real != 0].sum(), (real != 0).sum())} {cover}"),
        ("2 % of genes with the largest estimates", f"{_share(held[largest].sum(), largest.size)} {cover}"),
    ]
    return rows


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"
