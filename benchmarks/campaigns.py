"""Time calibration campaigns as a user starts them: many small fits, and fits of the flagship.

    python benchmarks/campaigns.py

Writes ``benchmarks/results/campaigns.json``: wall seconds of ``bayesexpr sbc`` with two workers, every fit saved and
ranked; programs are compiled before. A campaign with exact posteriors costs little but its overhead.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import measuring

from bayesexpr.calibration.program_sbc import plan

WORKERS = 2
CAMPAIGNS: dict[str, tuple[str, int, str]] = {
    "beta_binomial by nuts": ("beta_binomial", 1000, "nuts"),
    "beta_binomial, exact": ("beta_binomial", 1000, "exact"),
    "negative_binomial_de, 50 genes x 6 samples, by nuts": ("negative_binomial_de", 200, "nuts"),
}
"""Program, simulations, method."""


def main() -> int:
    """Run and record every campaign."""
    record: dict[str, Any] = {"workers": WORKERS, "machine": measuring.machine(os.cpu_count() or 1), "campaigns": {}}
    with tempfile.TemporaryDirectory(prefix="bayesexpr-") as scratch:
        for number, (name, (program, simulations, method)) in enumerate(CAMPAIGNS.items()):
            plan(program, method=method)[1].prepare()
            folder = Path(scratch) / f"campaign-{number}"
            command = [sys.executable, "-m", "bayesexpr", "sbc", program, "--method", method, "-o", str(folder)]
            command += ["--simulations", str(simulations), "--workers", str(WORKERS), "--quiet"]
            used = measuring.measure(command, say=False)
            summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
            told = {"simulations": simulations, "verdict": summary["verdict"], **used.record()}
            del told["cpu_seconds"]  # of this process alone: the workers are children of a server of processes
            told["milliseconds_per_fit"] = measuring.short(1000 * used.seconds / simulations)
            record["campaigns"][name] = told
            print(f"{name}: {told}")
    print(measuring.write("campaigns", record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
