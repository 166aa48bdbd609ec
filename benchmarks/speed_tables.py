"""Tables of what was measured, made from the records: ``python benchmarks/speed_tables.py`` writes them into the pages.

What stands between marks in benchmarks/README.md, and in the repository's first page, is made here and compared with
the records by a test.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from measuring import HERE, RESULTS, read
from targets import METHODS, table

from bayesexpr.calibration.tables import filled, markdown_table

PAGES = (HERE / "README.md", HERE.parent / "README.md")
SAMPLERS = {
    "nuts": "**bayesexpr, nuts**",
    "blocked": "**bayesexpr, blocked**",
    "stan": "Stan, vectorised",
    "nutpie": "PyMC + nutpie",
    "numpyro": "NumPyro",
}


def same_model(folder: Path = RESULTS) -> str:
    """Return a table of samplers of the same density on the same counts."""
    found = (read("peers", folder) or {}).get("same_model", {})
    base = found.get("nuts", {}).get("cpu_seconds")
    rows = []
    for name, words in SAMPLERS.items():
        one = found.get(name, {})
        if "cpu_seconds" not in one:
            rows.append((words, one.get("skipped", "not measured"), *[""] * 6))
            continue
        at_most = "at most " if one.get("shared") else ""
        rows.append(
            (
                words,
                f"{one['settings']['warmup']} + {one['settings']['draws']}",
                at_most + plain(one["cpu_seconds"]),
                "" if base is None else at_most + plain(one["cpu_seconds"] / base),
                f"{one['steps_per_draw']:.0f}",
                f"{one['largest_rhat']:.3f}",
                f"{one['least_ess']:.0f}",
                plain(one["ess_per_cpu_second"]),
            )
        )
    head = (
        "by",
        "iterations",
        "processor s",
        "times ours",
        "steps",
        "largest R-hat",
        "least ESS",
        "ESS per processor s",
    )
    return markdown_table(head, rows)


def count_tests(folder: Path = RESULTS) -> str:
    """Return a table of what tests of counts and this package call on the simulated study."""
    ours = {f"**bayesexpr, {method}**": _ours(read(f"targets_simulated_{method}", folder)) for method in METHODS}
    theirs = (read("peers", folder) or {}).get("tests", {})
    rows = []
    for name, one in {**ours, **theirs}.items():
        if "calls" not in one:
            rows.append((name, one.get("skipped", "not measured"), *[""] * 5))
            continue
        rows.append(
            (
                name,
                plain(one["cpu_seconds"]),
                f"{one['peak_memory_gb']:.1f}",
                f"{one['calls']:,}",
                f"{100 * one['false_discovery_rate']:.1f} %",
                f"{100 * one['power']:.1f} %",
                f"{one['rmse_log2']:.3f}",
            )
        )
    head = ("by", "processor s", "GB", "calls", "of them unchanged", "power", "RMSE (log2)")
    return markdown_table(head, rows)


def growth(folder: Path = RESULTS) -> str:
    """Return a table of the exponents of processor time and of the costs at the ends of the range."""
    record = read("growth", folder) or {"exponents": {}, "runs": []}
    rows = []
    for method, axes in record["exponents"].items():
        for axis, found in axes.items():
            runs = [run for run in record["runs"] if run["method"] == method and run["axis"] == axis]
            kinds = ("exponent", "last", "step_exponent", "memory_exponent")
            numbers = (f"{found[kind]:.2f}" if kind in found else "" for kind in kinds)
            rows.append((method, axis, *numbers, *(_cost(run) for run in (runs[0], runs[-1]))))
    head = ("method", "with", "exponent of time", "last doubling", "of a step", "of memory", "smallest", "largest")
    return markdown_table(head, rows)


def _cost(run: Mapping[str, Any]) -> str:
    told = f"{run['size']:,} {run['axis']}: {plain(run['cpu_seconds'])} s, {run['peak_memory_gb']:.2f} GB"
    return f"{told}, {run['steps']:.0f} steps" if "steps" in run else told


def threads(folder: Path = RESULTS) -> str:
    """Return a table of what a second thread gains."""
    gradient = (read("kernel", folder) or {}).get("wall_ms_by_threads")
    chains = read("threads", folder)
    rows = []
    if gradient is not None:
        one, two = gradient["1"], gradient["2"]
        rows.append(("a gradient by itself", f"{one:.2f} ms", f"{two:.2f} ms", f"{one / two:.2f}"))
    for method, seconds in {} if chains is None else chains["seconds"].items():
        one, two = (median(each) for each in seconds.values())
        words = (
            f"{chains['draws']} draws of a chain by {method}{', other work on the cores' if chains['shared'] else ''}"
        )
        rows.append((words, f"{plain(one)} s", f"{plain(two)} s", f"{chains['one_over_two'][method]:.2f}"))
    size = "" if chains is None else f"{chains['genes']:,} genes x {chains['samples']} samples"
    return markdown_table((size, "one thread", "two threads", "gain"), rows)


def plain(value: float) -> str:
    """Write a positive number with two digits at least, and none behind the point from a hundred on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2g}"


def _ours(record: dict[str, Any] | None) -> dict[str, Any]:
    return {} if record is None else {**record, **record.get("against_truth", {})}


SECTIONS: Mapping[str, Callable[[], str]] = {
    "targets": table,
    "same model": same_model,
    "tests of counts": count_tests,
    "growth": growth,
    "threads": threads,
}


def sections_of(text: str) -> Iterable[str]:
    """Return the sections that a page has marks for."""
    return [name for name in SECTIONS if f"<!-- {name} -->" in text]


def main() -> int:
    """Fill the sections of the pages."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        new = filled(text, sections_of(text), SECTIONS)
        if new != text:
            page.write_text(new, encoding="utf-8")
            print(f"{page} was filled")
    return 0


if __name__ == "__main__":
    sys.exit(main())
