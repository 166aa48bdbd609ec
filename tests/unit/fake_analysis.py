"""A made-up analysis of any size, with the look of a real one, for plots and reports."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from bayesexpr import names
from bayesexpr.posterior import decisions, verdict
from bayesexpr.report import ContrastContent, ReportContent, top_genes

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
HOSTILE_SAMPLES = tuple(HOSTILE[k] for k in (0, 3, 5, 6, 7, 8, 9, 10))


def table(n_genes: int = 2000, seed: int = 1, hostile: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Results of `n_genes` genes and their true log2 fold changes (gene, true_log2fc)."""
    rng = np.random.default_rng(seed)
    gene = [f"ENSG{i:011d}" for i in range(n_genes)]
    if hostile:
        gene[: len(HOSTILE)] = HOSTILE
    mean = np.exp(rng.normal(4, 2.2, n_genes))
    changed = rng.random(n_genes) < 0.15
    truth = np.where(changed, np.clip(rng.standard_t(4, n_genes) * 1.1, -6, 6), 0.0)
    truth[: len(HOSTILE)] = rng.choice([-3, 3], min(len(HOSTILE), n_genes))
    noise = 0.25 + 1.2 / np.sqrt(mean)
    raw = truth + rng.normal(size=n_genes) * noise
    odds = (
        0.15
        / 0.85
        * noise
        / np.sqrt(noise**2 + 1)
        * np.exp(np.minimum(0.5 * raw**2 * (1 / noise**2 - 1 / (noise**2 + 1)), 700))
    )
    sure = 1 / (1 + 1 / odds)
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


def content(n_genes: int = 2000, hostile: bool = False, contrasts: int = 1, simulated: bool = True) -> ReportContent:
    """Everything a report shows, made up."""
    results, truth = table(n_genes, hostile=hostile)
    normalised, samples, groups = counts(results, truth)
    made = decisions.calls(results["lfdr"], unchanged=0.85)
    thresholds = np.linspace(0, 4, 60)
    top = top_genes(results, made.called, 6)
    curve = 1 / (1 + np.exp(4 * (thresholds[:, None] - top["log2FoldChange"].abs().to_numpy())))
    shared = pd.DataFrame(
        {
            "mean": [4.02, 2.1, -3.5, 0.7],
            "sd": [0.03, 0.02, 0.1, 0.05],
            "rhat": [1.001, 1.003, 1.002, 1.0],
            "ess_bulk": [2100.0, 900.0, 1500.0, 1800.0],
            "ess_tail": [2000.0, 1100.0, 1300.0, 2500.0],
        },
        index=["mu_alpha", "sigma_alpha", "log_a0", "s"],
    )
    judged = verdict.judge(
        status=results["status"],
        hyperparameters=shared,
        divergences=0,
        ebfmi=[0.85, 0.91, 0.88, 0.79],
        saturated=3,
        n_chains=4,
        n_draws=1000,
    )
    name = HOSTILE[0] if hostile else "donor"
    known = pd.DataFrame(
        {
            name: np.repeat(["d1", "d2", "d3", "d4"], 2),
            "condition": groups,
            "library size": normalised.sum(axis=1).astype(int).to_numpy(),
            "size factor": np.linspace(0.8, 1.2, 8),
        },
        index=list(HOSTILE_SAMPLES) if hostile else samples,
    )
    grid = np.geomspace(0.5, 1e5, 60)
    one = ContrastContent(
        name="condition",
        question="condition: trt against untrt",
        table=results,
        rule=made.rule,
        called=made.called,
        expected_false=made.expected_false,
        lfc_threshold=1.0,
        rope=float(names.to_log2(np.log(1.1))),
        warning=made.warning,
        curve=(thresholds, curve, list(top["gene"])),
        truth=truth if simulated else None,
    )
    return ReportContent(
        title=HOSTILE[0] if hostile else "Differential expression: trt against untrt",
        command="bayesexpr de counts.csv.gz samples.csv -o run --design '~ donor + condition' "
        "--contrast condition,trt,untrt --seed 1",
        design=HOSTILE[1] if hostile else "~ donor + condition",
        contrasts=tuple(dataclasses.replace(one, name=f"c{i}") for i in range(contrasts)),
        samples=known,
        library_sizes=normalised.sum(axis=1).to_numpy(),
        normalised_counts=normalised,
        verdict=judged,
        diagnostics={
            "chains": 4,
            "draws per chain": 1000,
            "divergent draws": 0,
            "lowest E-BFMI": 0.79,
            "seconds": 412.3,
        },
        hyperparameters=shared,
        rhat_limit=verdict.rhat_limit_curve(n_genes, 4, 1000),
        min_ess=400,
        groups=groups,
        log_counts=np.log2(normalised.to_numpy() + 1),
        energy=np.random.default_rng(5).normal(size=(4, 1000)),
        dispersion_trend=(grid, 0.03 + 2 / grid),
        provenance={
            "Versions": {"bayesexpr": "0.1.0", "Stan": "2.37", HOSTILE[2] if hostile else "numpy": np.__version__},
            "Seeds and digests": {"seed": 1, "counts.csv.gz": "sha256 " + "3f" * 32},
        },
        warnings=(HOSTILE[1],) if hostile else ("Sample donor4_trt has a third of the depth of the others.",),
    )
