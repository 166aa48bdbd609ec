"""Run the measurement programs on public data with known answers, and record how honest their intervals are.

    python benchmarks/ladder.py --data ../shared/data

Writes ``benchmarks/results/ladder.json``. Concentrations of the Affymetrix Latin square and amounts of ERCC standards
are hidden at random, a different part in each of three repeats, and measured by what is left; the record has the share
of hidden values inside 50 % and 90 % intervals. The decay length of coverage is found for every library, and the
transcripts of a salmon folder, with its own estimates and Gibbs draws beside; cells of two lines are fitted with and
without zero inflation and compared by leave-one-out.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayesexpr as bx
from bayesexpr.data.equivalence import read_equivalence_classes, read_tool_draws
from bayesexpr.models.spike_in import AVOGADRO_ATTOMOLE
from bayesexpr.zero_inflation import compare

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
REPEATS = range(1, 4)
SETTINGS = {"chains": 2, "warmup": 300, "draws": 300, "seed": 1}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data", help="public data sets")
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        print(f"skipped: {arguments.data} is not here; --data names the folder of public data sets")
        return 0
    SETTINGS["cores"] = arguments.cores
    record: dict[str, Any] = {"machine": platform.machine(), "settings": SETTINGS}
    for name, measure in (
        ("langmuir", latin_square),
        ("spike_in", ercc),
        ("coverage_decay", coverage),
        ("transcript_compatibility", transcripts),
        ("zero_inflated_negative_binomial", single_cells),
    ):
        record[name] = measure(arguments.data)
        print(name, json.dumps(record[name], indent=2), flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "ladder.json").write_text(json.dumps(record, indent=2) + "\n")
    return 0


def inside(draws: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Share of true values in the intervals, and the width of the wider one."""
    quantiles = np.quantile(draws, [0.05, 0.25, 0.75, 0.95], axis=0)
    return {
        "covered_50": float(np.mean((quantiles[1] < truth) & (truth < quantiles[2]))),
        "covered_90": float(np.mean((quantiles[0] < truth) & (truth < quantiles[3]))),
        "median_width_90": float(np.median(quantiles[3] - quantiles[0])),
        "values": truth.size,
    }


def together(rows: list[dict[str, float]]) -> dict[str, Any]:
    """Means over the repeats, and the largest of what counts failures."""
    worst = ("divergences", "max_rhat")
    means = {k: float(np.mean([row[k] for row in rows])) for k in rows[0] if k not in worst}
    return means | {k: max(row[k] for row in rows) for k in worst} | {"repeats": len(rows)}


def sampler(made: bx.Fit, seconds: float) -> dict[str, float]:
    kept = {k: float(made.diagnostics[k]) for k in ("divergences", "leapfrogs_per_draw", "max_rhat")}
    return kept | {"seconds": seconds}


def latin_square(data: Path) -> dict[str, Any]:
    table = pd.read_csv(data / "affy_latin_square" / "u95_titration_mas5.csv.gz")
    truth, rows = table["conc_pM"].to_numpy(dtype=float), []
    for repeat in REPEATS:
        hidden = (np.random.default_rng(repeat).random(len(table)) < 0.25) & (truth > 0)
        unknown = np.full(len(table), -1)
        unknown[hidden] = np.arange(hidden.sum())
        given = {
            "intensity": table["mas5_signal"].to_numpy(),
            "concentration": np.where(hidden, 0.0, truth),
            "probe": pd.factorize(table["probeset"])[0],
            "array": pd.factorize(table["array"])[0],
            "unknown": unknown,
        }
        start = time.monotonic()
        made = bx.fit("langmuir", given, **SETTINGS)
        found = inside(made.draws("log_concentration"), np.log(truth[hidden]))
        rows.append(found | sampler(made, time.monotonic() - start))
    return together(rows)


def ercc(data: Path) -> dict[str, Any]:
    counts = pd.read_csv(data / "ercc" / "rapaport_seqc_ercc_counts.csv.gz", index_col=0)
    mixes = pd.read_csv(data / "ercc" / "ercc_mixes.csv").set_index("ercc_id").loc[counts.index]
    added = [mixes[f"mix{1 if name[0] == 'A' else 2}_attomoles_per_ul"].to_numpy() for name in counts.columns]
    molecules, rows = np.stack(added) * AVOGADRO_ATTOMOLE * 1e-3, []
    for repeat in REPEATS:
        hidden = np.random.default_rng(repeat).random(len(counts)) < 0.5
        given = {
            "count": counts.to_numpy().T,
            "molecules": np.where(hidden, 0.0, molecules),
            "effective_length": mixes["length"].to_numpy() - 99.0,
        }
        start = time.monotonic()
        made = bx.fit("spike_in", given, **SETTINGS)
        found = inside(made.draws("log_molecules"), np.log(molecules[:, hidden]))
        rows.append(found | sampler(made, time.monotonic() - start))
    return together(rows)


def coverage(data: Path) -> dict[str, Any]:
    table = pd.read_csv(data / "coverage_3prime" / "coverage_by_distance_from_3prime.csv.gz")
    table = table[(table["dist3_start"] >= 150) & (table["dist3_end"] <= table["length"] - 150)]
    curve = table.groupby(["sample", "symbol"]).ngroup().to_numpy()
    library = table.groupby("sample").ngroup()
    given = {
        "count": np.round(table["mean_depth"] * 50 / 63).astype(int).to_numpy(),  # reads of 63 nt in bins of 50
        "distance": ((table["dist3_start"] + table["dist3_end"]) / 2).to_numpy(),
        "curve": curve,
        "library": library.groupby(curve).first().to_numpy(),
    }
    start = time.monotonic()
    made = bx.fit("coverage_decay", given, **SETTINGS)
    low, middle, high = np.quantile(made.draws("decay_length"), [0.05, 0.5, 0.95], axis=0).round().tolist()
    libraries = sorted(table["sample"].unique())
    lengths = {name: {"q5": low[i], "median": middle[i], "q95": high[i]} for i, name in enumerate(libraries)}
    return {"decay_length_nt": lengths} | sampler(made, time.monotonic() - start)


def single_cells(data: Path) -> dict[str, Any]:
    folder = data / "sc_celseq2_3cl"
    counts = pd.read_csv(folder / "counts.csv.gz", index_col=0)
    line = pd.read_csv(folder / "cells.csv.gz", index_col=0)["cell_line_demuxlet"]
    kept = line.isin(["H1975", "H2228"]).to_numpy()
    table = counts.to_numpy()[:, kept].T
    order = np.argsort(-table.mean(axis=0))
    total = table.sum(axis=1)
    given = {
        "count": table[:, order[np.geomspace(20, 4000, 30).astype(int)]],
        "design": (line[kept] == "H2228").to_numpy(dtype=float)[:, None] - 0.5,
        "log_size_factor": np.log(total) - np.log(total).mean(),
    }
    name, start = "zero_inflated_negative_binomial", time.monotonic()
    inflated = bx.fit(name, given, options={"dispersion": "effects"}, **SETTINGS)
    plain = bx.fit(name, given, options={"zero_inflation": "none"}, **SETTINGS)
    found = compare(inflated, plain)
    return {
        "genes": len(found),
        "cells": len(table),
        "needed": int(found["needed"].sum()),
        "elpd_difference_of_all": float(found["elpd_difference"].sum()),
        "largest_pareto_k": float(found["pareto_k"].max()),
    } | sampler(inflated, time.monotonic() - start)


def transcripts(data: Path) -> dict[str, Any]:
    folder = data / "salmon_airway_chr1" / "salmon_plain" / "SRR1039508"
    estimate = read_equivalence_classes(folder).estimate
    start = time.monotonic()
    made = bx.quantify([folder], **SETTINGS)
    seconds = time.monotonic() - start
    table, gibbs = made.table, read_tool_draws(folder)[1].std(axis=0, ddof=1)
    chosen = table["identifiable"].to_numpy() & (estimate > 100)
    gap = (table["count"].to_numpy() - estimate)[chosen]
    ratio = table["count_sd"].to_numpy()[chosen] / gibbs[chosen]
    return {
        "transcripts": len(table),
        "identifiable": int(table["identifiable"].sum()),
        "compared": int(chosen.sum()),
        "median_gap_in_posterior_sd": float(np.median(np.abs(gap) / table["count_sd"].to_numpy()[chosen])),
        "median_relative_gap": float(np.median(np.abs(gap) / estimate[chosen])),
        "median_sd_over_gibbs_sd": float(np.median(ratio)),
    } | sampler(next(iter(made.fits.values())), seconds)


if __name__ == "__main__":
    raise SystemExit(main())
