"""A made-up analysis of any size, with the look of a real one, for plots and reports."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayesexpr import names
from bayesexpr.posterior import decisions

HOSTILE = (
    "<script>document.title='owned'</script>",
    "</script><svg onload=document.title='owned'>",
    '"><img src=x onerror=document.title="owned">',
    "{{7*7}}",
    "{% include 'x' %}",
    "=cmd|'/c calc'!A1",
    "$\\unicode{41}$ $\\frac{",
    "基因表达",
    "\u202eجين\u202c",
    "line\nbreak\u2028and\ttab",
    "n" * 300,
    "__proto__",
)


def table(n_genes: int = 2000, seed: int = 1, hostile: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Results of `n_genes` genes and their true log2 fold changes (gene, true_log2fc)."""
    rng = np.random.default_rng(seed)
    gene = [f"ENSG{i:011d}" for i in range(n_genes)]
    if hostile:
        gene[: len(HOSTILE)] = HOSTILE
    mean = np.exp(rng.normal(4, 2.2, n_genes))
    changed = rng.random(n_genes) < 0.15
    truth = np.where(changed, rng.standard_t(4, n_genes) * 1.1, 0.0)
    truth[: len(HOSTILE)] = rng.choice([-3, 3], min(len(HOSTILE), n_genes))
    noise = 0.25 + 1.2 / np.sqrt(mean)
    raw = truth + rng.normal(size=n_genes) * noise
    odds = 0.15 / 0.85 * noise / np.sqrt(noise**2 + 1) * np.exp(0.5 * raw**2 * (1 / noise**2 - 1 / (noise**2 + 1)))
    sure = odds / (1 + odds)
    given = raw / (1 + noise**2)
    sd = noise / np.sqrt(1 + noise**2)
    z = np.abs(given) / sd
    wrong = 0.5 * np.exp(-0.5 * z**2 - 0.4 * z)
    floor = 0.5 / 4001
    lfsr = np.clip(1 - sure * (1 - wrong), floor, 1)
    lfdr = np.clip(1 - sure * (1 - 1.3 * wrong), floor, 1)
    zero = rng.random(n_genes) < 0.1
    zero[: len(HOSTILE)] = False
    status = np.where(zero, "all_zero", np.where(rng.random(n_genes) < 0.01, "outlier", "ok")).astype(object)
    lower, upper = given - 1.96 * sd, given + 1.96 * sd
    out = pd.DataFrame(
        {
            "gene": gene,
            "baseMean": np.where(zero, 0.0, mean),
            "log2FoldChange": sure * given,
            "lfcSE": sd * np.sqrt(sure),
            "ci_lower": np.where(sure > 0.95, lower, np.minimum(lower, 0)),
            "ci_upper": np.where(sure > 0.95, upper, np.maximum(upper, 0)),
            "prob_gt": sure * np.clip(1 - np.exp(-0.5 * np.maximum(np.abs(given) - 1, 0) / sd), 0, 1),
            "lfsr": lfsr,
            "svalue": 0.0,
            "lfdr": lfdr,
            "qvalue": 0.0,
            "dispersion": (0.03 + 2 / mean) * np.exp(0.5 * rng.normal(size=n_genes)),
            "rhat": 1 + np.abs(rng.normal(0, 0.0012, n_genes)),
            "ess_bulk": rng.gamma(30, 80, n_genes),
            "ess_tail": rng.gamma(30, 75, n_genes),
            "lfc_if_changed": given,
            "lfc_if_changed_lower": lower,
            "lfc_if_changed_upper": upper,
            "status": status,
        }
    )
    numbers = [c for c in names.RESULT_COLUMNS if c not in ("gene", "baseMean", "status")]
    out.loc[zero, numbers] = np.nan
    out["svalue"] = decisions.svalue(out["lfsr"])
    out["qvalue"] = decisions.qvalue(out["lfdr"])
    return out[list(names.RESULT_COLUMNS)], pd.DataFrame({"gene": gene, "true_log2fc": truth})


def counts(results: pd.DataFrame, truth: pd.DataFrame, seed: int = 2) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Normalised counts samples x genes, the samples, and their groups."""
    rng = np.random.default_rng(seed)
    samples = [f"donor{d}_{c}" for d in range(1, 5) for c in ("untrt", "trt")]
    groups = ["untrt", "trt"] * 4
    sign = np.where(np.array(groups) == "trt", 0.5, -0.5)
    mu = results["baseMean"].to_numpy() * 2 ** (sign[:, None] * truth["true_log2fc"].to_numpy())
    donor = np.repeat(rng.normal(0, 0.2, (4, mu.shape[1])), 2, axis=0)
    drawn = rng.poisson(rng.gamma(8, mu * np.exp(donor) / 8))
    return pd.DataFrame(drawn.astype(float), index=samples, columns=list(results["gene"])), samples, groups
