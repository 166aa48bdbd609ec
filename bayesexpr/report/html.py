"""The report as one HTML file that needs nothing else: no network, no other file.

Everything that comes from the user's data reaches the page through Jinja's escaping or as JSON in which no ``<`` is
left; scripts and styles are allowed by their digests alone, so a name that looks like a script stays a name.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import uuid
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bayesexpr.posterior.verdict import STATUS_WORDS
from bayesexpr.report import figures
from bayesexpr.report.content import ContrastContent, ReportContent, top_genes

TABLE_BYTES = 6_000_000
"""Most bytes of gene tables in the page; beyond them each contrast lists its surest genes only, and says so."""

_ROWS_OF_TOP = 20


@dataclass(frozen=True)
class _Column:
    """A column of the gene tables; `kind` says how its values are written: text, count, log2 or share."""

    key: str
    label: str
    kind: str
    words: str


def write_report(content: ReportContent, path: str | os.PathLike[str]) -> Path:
    """Write the report of a run.

    The file appears whole or not at all. Results belong into their own files before this is called: a report can be
    made again, and a failure to draw must not cost them.

    Parameters
    ----------
    content : ReportContent
    path : path
        The HTML file; replaced if it exists.

    Returns
    -------
    pathlib.Path
        Absolute path of the file.
    """
    target = Path(path).absolute()
    data = render(content).encode("utf-8", errors="replace")
    temporary = target.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return target


def render(content: ReportContent) -> str:
    """Return the report as HTML."""
    environment = Environment(
        loader=PackageLoader("bayesexpr.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=_number, count=_count, rough=_rough, cell=_cell)
    style, script = _asset("report.css"), _asset("report.js")
    budget = TABLE_BYTES // max(len(content.contrasts), 1)
    html = environment.get_template("report.html").render(
        content=content,
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
        overview=figures.overview(content),
        trust=figures.trust(content),
        contrasts=[_contrast(content, contrast, budget) for contrast in content.contrasts],
        genes=len(content.contrasts[0].table),
        answered=int(content.contrasts[0].table["lfdr"].notna().sum()),
        status_words=STATUS_WORDS,
        badge={"trustworthy": "✓", "use with care": "!", "not trustworthy": "✗"}[content.verdict.level],
        badge_class=content.verdict.level.replace(" ", "-"),
    )
    return html


def table_json(table: pd.DataFrame, called: np.ndarray[Any, Any], lfc_threshold: float, budget: int) -> tuple[str, int]:
    """Make the gene table as JSON that is safe inside a script element, and the number of genes in it.

    Genes without an answer are left out. Numbers keep four significant digits.
    """
    flags = pd.Series(np.asarray(called, dtype=bool), index=table.index)
    shown = table[table["lfdr"].notna()].sort_values("lfdr", kind="stable")
    columns = _columns(lfc_threshold)
    statuses = sorted(set(shown["status"].astype(str)))
    text = ""
    while True:
        data = {
            "columns": [{"key": c.key, "label": c.label, "kind": c.kind, "words": c.words} for c in columns],
            "statuses": statuses,
            "rows": {c.key: _values(shown, c.key, statuses) for c in columns},
            "called": flags[shown.index].astype(int).tolist(),
        }
        text = json.dumps(data, separators=(",", ":"), allow_nan=False)
        text = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
        if len(text) <= budget or len(shown) <= _ROWS_OF_TOP:
            return text, len(shown)
        shown = shown.head(max(_ROWS_OF_TOP, int(0.97 * len(shown) * budget / len(text))))


def _columns(lfc_threshold: float) -> tuple[_Column, ...]:
    return (
        _Column("gene", "gene", "text", "name in the count table"),
        _Column("baseMean", "mean count", "count", "mean of normalised counts"),
        _Column("log2FoldChange", "log2 FC", "log2", "posterior mean log2 fold change"),
        _Column("ci_lower", "lower", "log2", "lower end of the interval"),
        _Column("ci_upper", "upper", "log2", "upper end of the interval"),
        _Column("lfc_if_changed", "if changed", "log2", "posterior mean log2 fold change given that there is a change"),
        _Column(
            "prob_gt",
            f"P(>{lfc_threshold:g})",
            "share",
            f"probability that |log2 fold change| exceeds {lfc_threshold:g}",
        ),
        _Column(
            "lfsr", "lfsr", "share", "local false sign rate: probability that the sign is wrong or there is no change"
        ),
        _Column("svalue", "s-value", "share", "mean lfsr of all genes at least as sure of their sign"),
        _Column("lfdr", "lfdr", "share", "probability of no material change"),
        _Column("qvalue", "q-value", "share", "mean lfdr of all genes at least as sure"),
        _Column("status", "status", "text", "what the diagnostics say of this gene"),
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
        "sureness": figures.sureness(contrast),
        "top": top_genes(contrast.table, contrast.called, _ROWS_OF_TOP).to_dict("records"),
        "columns": _columns(contrast.lfc_threshold),
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


def _asset(name: str) -> str:
    return resources.files("bayesexpr.report").joinpath("templates", name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Content security policy: nothing from anywhere but the images inside the page and these two texts."""

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")

    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest(style)}'; "
        f"script-src 'sha256-{digest(script)}'; base-uri 'none'; form-action 'none'"
    )


def _number(value: object) -> str:
    """Write a number with four significant digits; anything else as it is."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        return "" if value is None else str(value)
    number = float(value)
    if not np.isfinite(number):
        return "–"
    if isinstance(value, int | np.integer) or abs(number) >= 1000:
        return f"{number:,.0f}"
    return f"{number:.3g}" if abs(number) < 1 else f"{number:.4g}"


def _cell(value: object, kind: str) -> str:
    """Write a value of a gene table with the digits of its column, as the page's script does."""
    if kind == "text" or not isinstance(value, float):
        return str(value)
    if not np.isfinite(value):
        return "–"
    if kind == "log2":
        return f"{value:.2f}"
    if kind == "count":
        return f"{value:.1f}" if value < 100 else f"{value:,.0f}"
    return f"{value:.3f}" if value >= 0.001 else f"{value:.2e}".replace("e-0", "e-")


def _rough(value: float) -> str:
    """Write a number with two significant digits: an expected number of genes deserves no more."""
    return f"{float(f'{value:.2g}'):g}" if value < 1000 else f"{value:,.0f}"


def _count(value: int) -> str:
    return f"{value:,}"
