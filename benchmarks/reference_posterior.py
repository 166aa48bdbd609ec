"""Reference draws of a small differential-expression study, by posteriordb's recipe, from the program in plain Stan.

    python benchmarks/reference_posterior.py

Twelve genes in three against three samples, simulated from the prior; ten chains of Stan's NUTS on the program without
kernel and without warm start, so that what the kernel, the whitening and the blocked sampler give can be held against
what shares none of them. Writes ``tests/golden/negative_binomial_de_reference.json`` (data, settings, what was found of
the recipe's limits, means and standard deviations of every quantity) and ``...csv.gz`` (nearly independent draws);
refuses if a limit is broken.

The recipe (https://github.com/stan-dev/posteriordb) asks for ten chains of 10,000 iterations after as many of warm-up,
of which every tenth is kept, and for R-hat below 1.01, autocorrelation between neighbours below 0.05, E-FMI above 0.2,
no divergence, and effective sizes near the number of draws.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import bayesexpr as bx
from bayesexpr.calibration.scenarios import ModelScenario
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.posterior.diagnostics import convergence, ess_mean

NAME = "negative_binomial_de"
GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
GENES, SEED = 12, 12
CHAINS, WARMUP, DRAWS, THIN = 10, 10_000, 10_000, 10
ADAPT_DELTA = 0.95
KEPT = 500
"""Draws written down: enough for a test of two samples, few enough for a repository."""

Floats = NDArray[np.float64]


def main() -> int:
    _, data = ModelScenario(NegativeBinomialDE(), {"genes": GENES, "design": [[-0.5]] * 3 + [[0.5]] * 3}).simulate(
        np.random.default_rng(SEED)
    )
    fit = bx.fit(
        NAME,
        data,
        options={"density": "stan"},
        seed=SEED,
        chains=CHAINS,
        warmup=WARMUP,
        draws=DRAWS,
        adapt_delta=ADAPT_DELTA,
        cores=os.cpu_count() or 1,
    )
    found = quantities({name: value.to_numpy() for name, value in fit.posterior["posterior"].data_vars.items()})
    stats = fit.posterior["sample_stats"]
    limits = held(found, stats["energy"].to_numpy(), int(stats["diverging"].sum()))
    print(json.dumps(limits, indent=2))
    broken = [name for name, limit in limits.items() if not limit["held"]]
    if broken:
        print(f"no reference: {', '.join(broken)} out of bounds.", file=sys.stderr)
        return 1
    write(data, found, limits)
    return 0


def quantities(draws: dict[str, NDArray[Any]]) -> dict[str, Floats]:
    """Every number that varies, [chain, draw] each.

    An effect is stated by its arc tangent: given that it is zero, it is drawn from a t with four degrees of freedom,
    whose sample variances do not settle.
    """
    found = {}
    for name, value in draws.items():
        flat = value.reshape(*value.shape[:2], -1)
        for k in np.flatnonzero(np.ptp(flat, axis=(0, 1)) > 0):
            found[f"{name}[{k}]"] = np.arctan(flat[..., k]) if name == "beta" else flat[..., k].astype(np.float64)
    return found


def held(found: dict[str, Floats], energy: Floats, divergences: int) -> dict[str, dict[str, Any]]:
    """Hold draws against the recipe's limits."""
    whole = np.stack(list(found.values()), axis=2)
    thin = whole[:, ::THIN]
    centred = thin - thin.mean(axis=(0, 1))
    neighbours = (centred[:, 1:] * centred[:, :-1]).mean(axis=(0, 1)) / centred.var(axis=(0, 1))
    information = (np.diff(energy, axis=1) ** 2).mean(axis=1) / energy.var(axis=1)
    all_draws, kept = convergence(whole), convergence(thin)
    least, most = float(kept.ess_bulk.min()), float(kept.ess_bulk.max())
    size = thin.shape[0] * thin.shape[1]

    def limit(value: float, bound: str, is_held: bool) -> dict[str, Any]:
        return {"value": round(value, 4), "limit": bound, "held": bool(is_held)}

    worst = float(max(all_draws.rhat.max(), kept.rhat.max()))
    return {
        "rhat": limit(worst, "< 1.01", worst < 1.01),
        "neighbours": limit(float(np.abs(neighbours).max()), "< 0.05", np.abs(neighbours).max() < 0.05),
        "e_fmi": limit(float(information.min()), "> 0.2", information.min() > 0.2),
        "divergences": limit(divergences, "0", divergences == 0),
        "least_ess": limit(least, f"> {0.9 * size:.0f}", least > 0.9 * size),
        "most_ess": limit(most, f"< {1.1 * size:.0f}", most < 1.1 * size),
    }


def write(data: dict[str, Any], found: dict[str, Floats], limits: dict[str, Any]) -> None:
    whole = np.stack(list(found.values()), axis=2)
    flat = whole.reshape(-1, whole.shape[2])
    ess = np.minimum(ess_mean(whole), ess_mean((whole - flat.mean(axis=0)) ** 2))
    summary = {
        name: {"mean": float(f"{mean:.8g}"), "sd": float(f"{sd:.8g}"), "ess": round(float(size))}
        for name, mean, sd, size in zip(found, flat.mean(axis=0), flat.std(axis=0), ess, strict=True)
    }
    record = {
        "program": NAME,
        "options": {"density": "stan"},
        "data": {name: np.asarray(value).tolist() for name, value in data.items()},
        "settings": {
            "chains": CHAINS, "warmup": WARMUP, "draws": DRAWS, "thin": THIN, "adapt_delta": ADAPT_DELTA, "seed": SEED
        },
        "limits": limits,
        "quantities": summary,
    }  # fmt: skip
    (GOLDEN / f"{NAME}_reference.json").write_text(json.dumps(record, indent=1) + "\n")
    step = flat.shape[0] // KEPT
    table = pd.DataFrame(flat[::step][:KEPT], columns=list(found)).to_csv(
        index=False, float_format="%.5g", lineterminator="\n"
    )
    with gzip.GzipFile(GOLDEN / f"{NAME}_reference.csv.gz", "wb", mtime=0) as file:
        file.write(table.encode())


if __name__ == "__main__":
    sys.exit(main())
