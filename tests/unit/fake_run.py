"""A RUN folder without Stan: the made-up posterior of `test_effect`, with all that a run leaves beside it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
from de_posterior import CHAINS, DRAWS, make
from test_effect import GENES, G, a_fit

CONTRASTS = ("group,c,a", "group,b,a")


def saved_run(folder: Path, scratch: Path, contrasts: tuple[str, ...] = CONTRASTS) -> Path:
    """Save a run of 14 genes with hostile names and one without counts, three groups of four samples."""
    fit = a_fit(make(G), scratch / "posterior")
    summary = {"mean": 4.0, "sd": 0.1, "rhat": 1.001, "ess_bulk": 900.0, "ess_tail": 800.0}
    record = {
        **fit.record,
        "command": "bayesexpr de counts.csv samples.csv -o run --design '~ batch + group' --contrast group,c,a",
        "contrasts": list(contrasts),
        "thresholds": {"lfc_threshold": 0.5, "rope": None, "ci": 0.9},
        "program_digest": "2a41",
        "options": {"effects": "spike_slab"},
        "priors": {"mu_alpha": "normal(4, 0.5)"},
        "size_factors": "median_of_ratios",
        "settings": {"chains": CHAINS, "warmup": 5, "draws": DRAWS, "seed": 1, "cores": 1},
        "sampler": {"chains": CHAINS, "seed": 1, "window": None},
        "inputs_digest": "1b87",
        "genes": len(GENES),
        "genes_fitted": G,
        "samples": len(fit.data.samples),
        "versions": {"python": "3.11", "bayesexpr": "0.1.0"},
        "seconds": {"sampling": 1.0, "total": 2.0},
        "status": "done",
    }
    diagnostics = {
        "divergences": 0,
        "ebfmi": [1.0] * CHAINS,
        "saturated": 0,
        "leapfrogs_per_draw": 15.0,
        "max_rhat": 1.01,
        "min_ess_bulk": 900.0,
        "min_ess_tail": 800.0,
        "hyperparameters": {"mu_alpha": summary},
        "outlying_counts": [],
    }
    genes = fit.genes.assign(baseMean=fit.genes["baseMean"] + fit.genes["fitted"])
    saved = dataclasses.replace(fit, record=record, diagnostics=diagnostics, genes=genes).save(folder)
    truth = pd.DataFrame(
        {"gene": list(GENES), "true_log2fc": [0.0, 1.0] * (len(GENES) // 2) + [0.0] * (len(GENES) % 2)}
    )
    truth.to_csv(folder / "truth.csv", index=False)
    return saved
