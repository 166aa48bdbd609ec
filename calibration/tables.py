"""Tables of the evidence, made from the records: ``python -m bayesexpr.calibration.tables`` writes them into README.md.

What the README says of verdicts and of planted errors stands between marks and is compared with the records by a test,
so that it cannot go stale.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import planted, published_checks
from .controls import BLIND, BUGS, NO_BUG
from .evidence import record_path
from .published import DEFECTS, NONE
from .record import FOLDER, read_record
from .store import write_atomically
from .verdict import INCONCLUSIVE, PASS

README = Path(__file__).parent / "README.md"
STUDIES = Path(__file__).parents[1] / "benchmarks" / "results" / "decisions.json"
"""What ``benchmarks/decisions.py`` found; an installed package has none."""

FRONT = Path(__file__).parents[1] / "README.md"
"""The repository's first page; an installed package has none."""


def verdicts(folder: Path = FOLDER) -> str:
    """Return a table of all programs with a record: size, verdict, and what it would have caught."""
    rows = []
    for path in sorted(folder.glob("*.json")):
        record = read_record(path)
        worth, found = record["severity"] or {}, record["diagnostics"]
        rows.append(
            (
                f"`{record['scenario'].removesuffix('-default')}`",
                record["backend"],
                f"{record['simulations']['finished']:,}",
                str(len(record["quantities"])),
                f"**{record['verdict']}**",
                _number(worth.get("bias")),
                f"{_number(worth.get('narrow'))} / {_number(worth.get('wide'))}",
                str(found.get("with_divergences") if found.get("with_divergences") is not None else ""),
            )
        )
    head = (
        "program",
        "by",
        "fits",
        "quantities",
        "verdict",
        "bias caught (sd)",
        "sd factor caught",
        "with divergences",
    )
    return markdown_table(head, rows)


def planted_errors(path: Path = planted.RECORD) -> str:
    """Return tables of planted errors: how often campaigns of each size catch each with real fits, and what they say.

    One of the errors that campaigns must catch, by tier; one of those they do not see, and what does.
    """
    outcomes = read_record(path)["outcomes"]
    sizes = sorted({o["simulations"] for o in outcomes})
    shares = [f"caught with {size:,}" for size in sizes]
    caught, blind = [], []
    for bug in sorted(BUGS, key=lambda b: b.tier):
        found = [o for o in outcomes if o["bug"] == bug.name]
        named = next((o for o in found if o["caught"]), None)
        told = (f"`{named['quantity']}`", named["kind"]) if named else ("", "")
        caught.append((bug.name, *_shares(found, sizes), *told, f"{bug.tier:,}"))
    for bug in BLIND:
        found = [o for o in outcomes if o["bug"] == bug.name]
        blind.append((bug.name, *_shares(found, sizes), bug.instead))
    seen = markdown_table(("planted error", *shares, "by", "named as", "tier"), caught)
    unseen = markdown_table(("what campaigns do not see", *shares, "what does"), blind)
    return f"{_score(outcomes)}\n\n{seen}\n\n{unseen}"


def published_defects(path: Path = published_checks.RECORD) -> str:
    """Return a table of the published program's defects by checks: ``x`` where the check catches the defect."""
    findings = read_record(path)["findings"]
    checks = [c for c in dict.fromkeys(f["check"] for f in findings) if c not in ("SBC, 1", "compiler")]
    checks = [*(c for c in checks if not c.startswith("SBC")), *(c for c in checks if c.startswith("SBC"))]
    rows = []
    for defect in (NONE, *DEFECTS):
        found = {f["check"]: f for f in findings if f["defect"] == defect.name}
        name = defect.name if defect.number in (0, 9) else f"{defect.number}. {defect.name}"
        rows.append((name, *(_mark(found.get(check)) for check in checks)))
    table = markdown_table(("defect", *checks), rows)
    others = [f"{f['defect']}: {f['words']} ({f['check']})" for f in findings if f["check"] in ("SBC, 1", "compiler")]
    sbc = [f for f in findings if f["check"].startswith("SBC, 2") and not f["words"].startswith(PASS)]
    seen = [f"{f['defect']}: {f['words']} ({f['check']})" for f in sbc]
    told = "\n".join(f"- {line}" for line in (*others, *seen))
    return f"{table}\n\n{told}"


def planted_score(path: Path = planted.RECORD) -> str:
    """Return how many planted errors were caught, in one sentence."""
    return _score(read_record(path)["outcomes"])


def decisions(path: Path = STUDIES, folder: Path = FOLDER) -> str:
    """Return stated against realised rates: of the campaign's simulations, of the bundled study, of studies like it."""
    campaign = read_record(record_path("negative_binomial_de", folder))
    made = json.loads(path.read_text(encoding="utf-8"))
    columns = {
        f"{campaign['simulations']['finished']} simulations of the campaign": campaign["decisions"],
        "the bundled study": made["bundled"],
        f"{made['studies']} studies like it": made["like_it"],
    }
    rows: dict[tuple[str, str], list[str]] = {}
    for place, found in enumerate(columns.values()):
        for row in (row for row in found["rows"] if row["rate"] != "lfdr"):
            key = ("90 % interval", "top 2 %") if row["range"] == "held" else (row["rate"], row["range"])
            rows.setdefault(key, [""] * len(columns))[place] = _rate(row)
    order = sorted(rows, key=lambda key: ("lfsr", "svalue", "qvalue", "90 % interval").index(key[0]))
    table = markdown_table(("rate", "range", *columns), [(*key, *rows[key]) for key in order])
    genes = ", ".join(f"{found['genes']:,}" for found in columns.values())
    return f"Genes: {genes}.\n\n{table}"


def _rate(row: dict[str, Any]) -> str:
    """Stated and realised, and of how many genes; bold where the two do not agree."""
    digits = 1 if row["stated"] >= 0.1 else 2
    told = f"{100 * row['stated']:.{digits}f} / {100 * row['realised']:.{digits}f} % of {row['genes']:,}"
    return told if row["ok"] else f"**{told}**"


SECTIONS: dict[str, Callable[[], str]] = {
    "verdicts": verdicts,
    "planted errors": planted_errors,
    "planted score": planted_score,
    "published defects": published_defects,
    "decisions": decisions,
}
PAGES = {README: ("verdicts", "planted errors", "published defects", "decisions"), FRONT: ("verdicts", "planted score")}


def filled(
    text: str, sections: Iterable[str] = PAGES[README], makers: Mapping[str, Callable[[], str]] = SECTIONS
) -> str:
    """Return a text with its marked sections made anew, each by its maker."""
    for name in sections:
        make = makers[name]
        begin, end = re.escape(f"<!-- {name} -->"), re.escape("<!-- end -->")
        if not re.search(f"{begin}.*?{end}", text, re.DOTALL):
            raise ValueError(f"there is no section <!-- {name} --> ... <!-- end --> to fill")
        made = f"<!-- {name} -->\n{make()}\n<!-- end -->"
        text = re.sub(f"{begin}.*?{end}", lambda _, made=made: made, text, flags=re.DOTALL)  # type: ignore[misc]
    return text


def main() -> int:
    """Fill the sections of the pages."""
    for page, sections in PAGES.items():
        write_atomically(page, filled(page.read_text(encoding="utf-8"), sections))
    return 0


def _score(outcomes: Sequence[dict[str, Any]]) -> str:
    """Say how many errors campaigns of each size catch: the sum of their rates of detection."""
    names, gross = {bug.name for bug in BUGS}, {bug.name for bug in BUGS if bug.tier == planted.SIZES[0]}
    told = []
    for size in sorted({o["simulations"] for o in outcomes}):
        rates = {o["bug"]: o["caught"] / o["campaigns"] for o in outcomes if o["simulations"] == size}
        tried = [rates[name] for name in sorted(names & set(rates))]
        words = f"{sum(tried):.1f} of {len(tried)} with {size:,} simulations"
        if size == planted.SIZES[0]:
            words += f" (of the {len(gross)} gross ones {sum(rates[name] for name in gross):.1f})"
        told.append(words)
    control = [o for o in outcomes if o["bug"] == NO_BUG.name]
    without = ", ".join(f"{o['caught']} of {o['campaigns']} ({o['simulations']:,})" for o in control)
    return f"Caught, on average over campaigns with fresh seeds: {'; '.join(told)}. Without an error fail: {without}."


def _shares(found: Sequence[dict[str, Any]], sizes: Sequence[int]) -> list[str]:
    """Campaigns that caught an error, of those that were run, by size; and those that refused to judge."""
    by_size = {o["simulations"]: o for o in found}
    told = []
    for size in sizes:
        one = by_size.get(size)
        if one is None:
            told.append("")
            continue
        refused = one["status"].get(INCONCLUSIVE, 0)
        told.append(f"{one['caught']} of {one['campaigns']}" + (f", {refused} refused" if refused else ""))
    return told


def _mark(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    if found["words"].startswith(INCONCLUSIVE):
        return "?"
    return "**x**" if found["caught"] else "-"


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.2f}"


def markdown_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    lines = [list(head), *(list(row) for row in rows)]
    text = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([text[0], f"|{'---|' * len(lines[0])}", *text[1:]])


if __name__ == "__main__":
    sys.exit(main())
