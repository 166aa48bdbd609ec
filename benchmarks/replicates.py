"""Error rates of the default rule over studies like the bundled one, each simulated anew: one study's rate is chance.

    python benchmarks/replicates.py --studies 10

Writes ``benchmarks/results/replicates.json``: calls, false discovery rate, power and coverage of each study and of all.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import numpy as np
import pandas as pd
from study import RESULTS, against_truth

import bayesexpr as bx
from bayesexpr.data.counts import CountData
from bayesexpr.datasets import BUNDLED, DATASETS, simulate_bundled


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=10)
    arguments = parser.parse_args()
    found = []
    for seed in range(1, arguments.studies + 1):
        found.append({"seed": seed, **one(seed)})
        print(json.dumps(found[-1]), flush=True)
    record = {"study": BUNDLED, "rule": "qvalue < 0.05", "all": together(found), "studies": found}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "replicates.json").write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record["all"], indent=2))
    return 0


def one(seed: int) -> dict[str, Any]:
    """Simulate, fit and ask one study."""
    frames = simulate_bundled(seed)
    counts, samples = frames["counts"], frames["samples"]
    data = CountData(counts.to_numpy().T, tuple(counts.index), tuple(counts.columns), samples)
    fit = bx.fit_de(data, DATASETS[BUNDLED].design, seed=seed)
    table = fit.contrast(*DATASETS[BUNDLED].contrast.split(",")).table
    table = table.astype({"gene": str}).set_index("gene")
    called = table["qvalue"] < 0.05
    stated = float(table["qvalue"][called].max()) if called.any() else 0.0
    return {
        **against_truth(table, frames["truth"].set_index("gene")["true_log2fc"]),
        "stated_false_discovery_rate": round(stated, 4),
        "verdict": fit.diagnose().level,
    }


def together(studies: list[dict[str, Any]]) -> dict[str, float]:
    """Rates over all calls, and means over studies of what is a share of genes."""
    frame = pd.DataFrame(studies)
    false = frame["false_discovery_rate"] * frame["calls"]
    total = int(frame["calls"].sum())
    means = frame[["stated_false_discovery_rate", "power", "coverage", "coverage_top_2_percent", "rmse_log2"]].mean()
    rate = float(false.sum() / max(total, 1))
    return {
        "studies": len(frame),
        "calls": total,
        "false_discovery_rate": round(rate, 4),
        "standard_error": round(float(np.sqrt(rate * (1 - rate) / max(total, 1))), 4),
        "largest_of_one_study": float(frame["false_discovery_rate"].max()),
        **{name: round(float(value), 4) for name, value in means.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
