"""Hold what the default rule states against the truth: on the bundled study, and over studies like it.

    python benchmarks/decisions.py --studies 100

The bundled study is fitted as ``bayesexpr de`` fits it; the others, each simulated anew, by empirical Bayes, whose
answers are NUTS's to within 0.01 in the rates and take seconds. Writes ``benchmarks/results/decisions.json``: stated
against realised rates, and lists, rankings and estimates against the truth. Every finished study is kept in the folder
of ``--work``, from which it goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from study import RESULTS

import bayesexpr as bx
from bayesexpr.calibration.decisions import decision_report, decisions_of
from bayesexpr.data.counts import CountData
from bayesexpr.datasets import BUNDLED, BUNDLED_SEED, DATASETS, simulate_bundled
from bayesexpr.effect import Effect


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--work", type=Path, default=Path("evidence") / "decisions")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    bundled, measures = study(BUNDLED_SEED, "auto")
    many = []
    for seed in range(1, arguments.studies + 1):
        path = arguments.work / f"study_{seed}.npz"
        if not path.is_file():
            keep(path, study(seed, "eb")[0])
            print(f"{seed} of {arguments.studies} studies", file=sys.stderr, flush=True)
        with np.load(path) as kept:
            many.append(dict(kept))
    record = {
        "study": BUNDLED,
        "bundled": decision_report(bundled).to_dict(),
        "bundled_against_truth": measures.round(4).replace({np.nan: None}).to_dict(orient="records"),
        "studies": len(many),
        "like_it": decision_report({name: np.stack([one[name] for one in many]) for name in many[0]}).to_dict(),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "decisions.json").write_text(json.dumps(record, indent=1) + "\n")
    return 0


def study(seed: int, method: str) -> tuple[dict[str, Any], pd.DataFrame]:
    """Simulate a study, fit it, and hold the answer against the truth, gene by gene and in measures of the whole."""
    frames = simulate_bundled(seed)
    counts = frames["counts"]
    data = CountData(counts.to_numpy().T, tuple(counts.index), tuple(counts.columns), frames["samples"])
    fit = bx.fit_de(data, DATASETS[BUNDLED].design, seed=1 if method == "auto" else seed, method=method)
    effect: Effect = fit.contrast(*DATASETS[BUNDLED].contrast.split(","), ci=0.9)
    return decisions_of(effect, frames["truth"]), bx.calibration.truth_metrics(effect.table, frames["truth"])


def keep(path: Path, made: dict[str, Any]) -> None:
    """Write a finished study, whole or not at all."""
    part = path.with_suffix(".part.npz")
    np.savez(part, **made)
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
