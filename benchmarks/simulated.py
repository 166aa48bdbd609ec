"""A study of any size from the model, its hyperparameters at those of airway, with its truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.names import to_log2

QUESTION = ("--design", "~ batch + group", "--contrast", "group,b,a")


def simulate(genes: int, samples: int = 8, seed: int = 1) -> dict[str, Any]:
    """Simulate two groups of samples, the first half and the second, in two batches that take turns.

    Returns
    -------
    dict
        Data frames ``counts`` (genes x samples), ``samples`` and ``truth`` (gene, true_log2fc).
    """
    hyper = {
        "mu_alpha": np.array(4.3),
        "sigma_alpha": np.array(2.2),
        "a0": np.array(0.03),
        "a1": np.array(2.0),
        "sigma_phi": np.array(0.6),
        "m": np.zeros(1),
        "s": np.array(0.6),
        "weight": np.array([0.85, 0.15]),
        "tau": np.array([0.3]),
        "log_f": np.linspace(-0.4, 0.4, samples),
    }
    half = samples // 2
    group = np.repeat([-0.5, 0.5], [half, samples - half])
    batch = np.where(np.arange(samples) % 2, 0.5, -0.5)
    given = {"genes": genes, "design": group[:, None], "nuisance_design": batch[:, None]}
    drawn, data = NegativeBinomialDE().simulate(given, np.random.default_rng(seed), hyper)
    names, rows = [f"s{k}" for k in range(samples)], [f"g{k}" for k in range(genes)]
    change = np.where(drawn["component"] > 0, drawn["beta"][:, 0], 0.0)
    labels = {"group": np.where(group > 0, "b", "a"), "batch": np.where(batch > 0, "y", "x")}
    return {
        "counts": pd.DataFrame(data["count"].T, columns=names, index=pd.Index(rows, name="gene")),
        "samples": pd.DataFrame(labels, index=pd.Index(names, name="sample")),
        "truth": pd.DataFrame({"gene": rows, "true_log2fc": to_log2(change)}),
    }


def write_study(folder: Path, genes: int, samples: int = 8, seed: int = 1) -> Path:
    """Write counts.csv.gz, samples.csv and truth.csv.gz of a simulated study into a folder, which is returned."""
    frames = simulate(genes, samples, seed)
    folder.mkdir(parents=True, exist_ok=True)
    quick = {"method": "gzip", "compresslevel": 1}
    frames["counts"].to_csv(folder / "counts.csv.gz", compression=quick)
    frames["samples"].to_csv(folder / "samples.csv")
    frames["truth"].to_csv(folder / "truth.csv.gz", index=False, compression=quick)
    return folder
