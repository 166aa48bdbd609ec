"""Hold the empirical-Bayes approximation against exact sampling of the same posterior, gene by gene.

    python benchmarks/empirical_bayes.py bundled
    python benchmarks/empirical_bayes.py airway --data ../shared/data --exact FINISHED_RUN
    python benchmarks/empirical_bayes.py simulated --genes 20000 --no-exact

Writes ``benchmarks/results/empirical_bayes_NAME.json``: seconds by stage, k-hats, and the differences of posterior
means, standard deviations, false sign rates and calls from those of NUTS (or of another method's run), root mean square
and largest, beside what Monte Carlo error alone would make of two exact runs.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from simulated import QUESTION, write_study

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("study", choices=("bundled", "airway", "simulated"))
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data", help="public data sets")
    parser.add_argument("--genes", type=int, default=20_000, help="of the simulated study")
    parser.add_argument("--exact", type=Path, help="compare with this finished run instead of making one by NUTS")
    parser.add_argument("--finished", type=Path, help="a finished run by empirical Bayes, instead of making one")
    parser.add_argument("--no-exact", action="store_true", help="do not compare, only measure")
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        job = _job(arguments.study, arguments.data, Path(scratch), arguments.genes)
        if job is None:
            print(f"skipped: {arguments.data / arguments.study} is not here; --data names its parent folder")
            return 0
        approximate = arguments.finished or _run(job, "eb", Path(scratch) / "eb", arguments.cores)
        record = _measured(approximate)
        if not arguments.no_exact:
            exact = arguments.exact or _run(job, "nuts", Path(scratch) / "nuts", arguments.cores)
            record["against"] = _measured(exact)
            if arguments.exact is not None:  # it may have run under other circumstances
                del record["against"]["seconds"], record["against"]["cpu_seconds"]
            record["difference"] = compare(_table(approximate), _table(exact))
            record["hyperparameters"] = _hyperparameters(approximate, exact)
    RESULTS.mkdir(exist_ok=True)
    label = f"{arguments.study}_{arguments.genes}" if arguments.study == "simulated" else arguments.study
    (RESULTS / f"empirical_bayes_{label}.json").write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2))
    return 0


def compare(approximate: pd.DataFrame, exact: pd.DataFrame) -> dict[str, Any]:
    """Differences over the genes with an answer in both tables, log2 fold changes.

    ``mean_in_errors`` is the root mean square of the differences of means in units of their Monte Carlo standard
    error: one where nothing but chance differs.
    """
    both = approximate["lfsr"].notna() & exact["lfsr"].notna()
    a, b = approximate[both], exact[both]
    out: dict[str, Any] = {"genes": int(both.sum())}
    for name, column in (("mean", "log2FoldChange"), ("sd", "lfcSE"), ("lfsr", "lfsr"), ("lfdr", "lfdr")):
        apart = (a[column] - b[column]).abs()
        worst = apart.idxmax()
        out[name] = {
            "rms": _short(np.sqrt((apart**2).mean())),
            "largest": _short(apart.max()),
            "gene": worst,
            "there": [_short(a[column][worst]), _short(b[column][worst])],
            "bias": _short((a[column] - b[column]).mean()),
        }
    error = np.sqrt(a["lfcSE"] ** 2 / a["ess_bulk"] + b["lfcSE"] ** 2 / b["ess_bulk"])
    out["mean_in_errors"] = _short(np.sqrt((((a["log2FoldChange"] - b["log2FoldChange"]) / error) ** 2).mean()))
    ratio = a["lfcSE"] / b["lfcSE"]
    out["sd_ratio"] = {q: _short(ratio.quantile(float(q))) for q in ("0.01", "0.5", "0.99")}
    called = [table["qvalue"] < 0.05 for table in (a, b)]
    out["calls"] = {
        "approximate": int(called[0].sum()),
        "exact": int(called[1].sum()),
        "both": int((called[0] & called[1]).sum()),
    }
    return out


def _job(study: str, data: Path, scratch: Path, genes: int) -> list[str] | None:
    if study == "bundled":
        from bayesexpr.datasets import BUNDLED, bring

        folder, design, contrast = bring(BUNDLED, scratch), "~ donor + treatment", "treatment,treated,untreated"
    elif study == "airway":
        folder, design, contrast = data / study, "~ cell + dex", "dex,trt,untrt"
        if not folder.is_dir():
            return None
    else:
        folder = write_study(scratch, genes)
        return [str(folder / "counts.csv.gz"), str(folder / "samples.csv"), *QUESTION]
    files = [str(folder / "counts.csv.gz"), str(folder / "samples.csv")]
    return [*files, "--design", design, "--contrast", contrast]


def _run(job: list[str], method: str, folder: Path, cores: int) -> Path:
    command = [sys.executable, "-m", "bayesexpr", "de", *job, "--method", method, "--cores", str(cores)]
    subprocess.run([*command, "-o", str(folder)], check=True)
    return folder


def _table(run: Path) -> pd.DataFrame:
    return pd.read_csv(run / "results.csv").set_index("gene")


def _measured(run: Path) -> dict[str, Any]:
    made = json.loads((run / "run.json").read_text())
    found = json.loads((run / "diagnostics.json").read_text())
    record: dict[str, Any] = {
        "method": made["method"],
        "cores": made["settings"]["cores"],
        "processor": platform.machine(),
        "genes_fitted": made["genes_fitted"],
        "samples": made["samples"],
        "seconds": {k: round(v, 1) for k, v in made["seconds"].items()},
        "cpu_seconds": _short(made["cpu_seconds"]) if "cpu_seconds" in made else None,
        "peak_memory_gb": _short(made["peak_memory_gb"]),
        "verdict": found["verdict"]["summary"],
        "statuses": found["verdict"]["status_counts"],
    }
    if made["method"] == "eb":
        record["largest_k_used"] = _short(found["max_k"])
        record["k_limit"] = _short(found["k_limit"])
        record["sampled_by_chains"] = len(found["sampled_by_chains"])
        record["steps_to_the_mean"] = [_short(step) for step in found["steps_to_the_mean"]]
        record["smallest_ess"] = [_short(found["min_ess_bulk"]), _short(found["min_ess_tail"])]
    return record


def _hyperparameters(approximate: Path, exact: Path) -> dict[str, dict[str, float]]:
    """Differences of the means in the exact posterior's standard deviations, and ratios of these."""
    a, b = (json.loads((run / "diagnostics.json").read_text())["hyperparameters"] for run in (approximate, exact))
    return {
        name: {
            "shift_in_sd": _short((a[name]["mean"] - b[name]["mean"]) / b[name]["sd"]),
            "sd_ratio": _short(a[name]["sd"] / b[name]["sd"]),
        }
        for name in b
    }


def _short(value: float) -> float:
    return float(f"{value:.4g}")


if __name__ == "__main__":
    sys.exit(main())
