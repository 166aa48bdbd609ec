"""Run the main job on a study as a user does, and record what it took and what came out.

    python benchmarks/study.py bundled
    python benchmarks/study.py airway --data ../shared/data

Writes ``benchmarks/results/NAME.json``: seconds by stage, peak memory, verdict, statuses, and, where truth is known,
realised error rates, power and coverage.
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

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
MARKERS = {"CRISPLD2": "ENSG00000103196", "FKBP5": "ENSG00000096060", "DUSP1": "ENSG00000120129"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("study", choices=("bundled", "airway"))
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data", help="public data sets")
    parser.add_argument("--output", type=Path, help="keep the run here")
    parser.add_argument("--finished", type=Path, help="record this finished run instead of making one")
    parser.add_argument("--set", action="append", default=[], help="option of the program")
    parser.add_argument("--label", default="", help="added to the name of the record")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        run = arguments.finished or arguments.output or Path(scratch) / "run"
        command, truth = _job(arguments.study, arguments.data, Path(scratch))
        if command is None:
            print(f"skipped: {arguments.data / arguments.study} is not here; --data names its parent folder")
            return 0
        command += ["-o", str(run), *[part for option in arguments.set for part in ("--set", option)]]
        if arguments.finished is None:
            subprocess.run([sys.executable, "-m", "bayesexpr", "de", *command], check=True)
        record = _record(run, arguments.study, truth)
    record["options"] = arguments.set
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"{arguments.study}{arguments.label}.json"
    target.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2))
    return 0


def _job(study: str, data: Path, scratch: Path) -> tuple[list[str] | None, pd.DataFrame | None]:
    if study == "bundled":
        from bayesexpr.datasets import BUNDLED, bring

        folder = bring(BUNDLED, scratch)
        question = ["--design", "~ donor + treatment", "--contrast", "treatment,treated,untreated"]
        return [str(folder / "counts.csv.gz"), str(folder / "samples.csv"), *question], pd.read_csv(
            folder / "truth.csv.gz"
        )
    folder = data / study
    if not folder.is_dir():
        return None, None
    question = ["--design", "~ cell + dex", "--contrast", "dex,trt,untrt"]
    return [str(folder / "counts.csv.gz"), str(folder / "samples.csv"), *question], None


def _record(run: Path, study: str, truth: pd.DataFrame | None) -> dict[str, Any]:
    made = json.loads((run / "run.json").read_text())
    found = json.loads((run / "diagnostics.json").read_text())
    table = pd.read_csv(run / "results.csv").set_index("gene")
    record: dict[str, Any] = {
        "study": study,
        "machine": {
            "processor": platform.machine(),
            "cores": made["settings"]["cores"],
            "python": platform.python_version(),
        },
        "genes": made["genes"],
        "genes_fitted": made["genes_fitted"],
        "samples": made["samples"],
        "seconds": {k: round(v, 1) for k, v in made["seconds"].items()},
        "peak_memory_gb": round(made["peak_memory_gb"], 2) if "peak_memory_gb" in made else None,
        "verdict": found["verdict"]["summary"],
        "statuses": found["verdict"]["status_counts"],
        "ok_share_of_fitted": round(float((table["status"] == "ok").sum() / made["genes_fitted"]), 4),
        "largest_rhat": round(found["max_rhat"], 4),
        "smallest_bulk_ess": round(found["min_ess_bulk"]),
        "leapfrogs_per_draw": round(found["leapfrogs_per_draw"], 1),
        "calls_q05": int((table["qvalue"] < 0.05).sum()),
    }
    if study == "airway":
        rank = table["log2FoldChange"].where(table["qvalue"] < 0.05).abs().rank(ascending=False)
        record["markers"] = {
            name: {
                "log2FoldChange": round(float(table.loc[g, "log2FoldChange"]), 2),
                "lfsr": float(table.loc[g, "lfsr"]),
                "rank_by_effect_among_calls": int(rank[g]),
            }
            for name, g in MARKERS.items()
        }
    if truth is not None:
        record["against_truth"] = against_truth(table, truth.set_index("gene")["true_log2fc"])
    return record


def against_truth(table: pd.DataFrame, truth: pd.Series) -> dict[str, float]:
    """Hold a table of results against true log2 fold changes.

    Returns
    -------
    dict
        Realised false discovery rate of ``qvalue < 0.05`` (true change exactly zero), power, and coverage of the
        intervals over all fitted genes, the unchanged, the changed, and the 2 % with the largest estimates.
    """
    answered = table[table["status"] != "all_zero"]
    t = truth.reindex(answered.index)
    called, changed = answered["qvalue"] < 0.05, t != 0
    covered = (t >= answered["ci_lower"] - 1e-9) & (t <= answered["ci_upper"] + 1e-9)
    top = answered["log2FoldChange"].abs().nlargest(max(1, round(0.02 * len(answered)))).index
    return {
        "calls": int(called.sum()),
        "false_discovery_rate": round(float((called & ~changed).sum() / max(called.sum(), 1)), 4),
        "power": round(float((called & changed).sum() / changed.sum()), 4),
        "coverage": round(float(covered.mean()), 4),
        "coverage_unchanged": round(float(covered[~changed].mean()), 4),
        "coverage_changed": round(float(covered[changed].mean()), 4),
        "coverage_top_2_percent": round(float(covered[top].mean()), 4),
        "rmse_log2": round(float(np.sqrt(((answered["log2FoldChange"] - t) ** 2).mean())), 4),
    }


if __name__ == "__main__":
    sys.exit(main())
