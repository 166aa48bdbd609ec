"""What the report of a differential-expression run shows, gathered from the fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesexpr.effect import Effect, exceedance_of
from bayesexpr.posterior.verdict import Limits, rhat_limit_curve
from bayesexpr.report import ContrastContent, ReportContent, top_genes

if TYPE_CHECKING:
    import pandas as pd

    from bayesexpr.de_fit import DEFit

PCA_GENES = 500
CURVE_GENES = 6
TOP = 12  # genes that are drawn with their counts


def report_content(fit: DEFit, effects: Sequence[Effect], truth: pd.DataFrame | None) -> ReportContent:
    """Gather everything; `truth` belongs to the first contrast."""
    import pandas as pd

    from bayesexpr.calibration.certificate import read_certificate

    normalised = fit.data.counts / fit.size_factors[:, None]
    contrasts = tuple(_contrast(fit, e, truth if k == 0 else None) for k, e in enumerate(effects))
    shown = {gene for c in contrasts for gene in top_genes(c.table, c.called)["gene"]}
    places = [g for g, name in enumerate(fit.data.genes) if name in shown]
    logs = np.log2(normalised + 1)
    varied = np.argsort(-logs.var(axis=0))[:PCA_GENES]
    factor = fit.design.levels.get(fit.design.tested.split(":")[0])
    table = fit.data.sample_table
    record = fit.record
    diagnostics, draws = fit.diagnostics, fit.posterior["posterior"].sizes
    return ReportContent(
        title="Differential expression: " + "; ".join(e.contrast.label for e in effects),
        command=str(record.get("command", "")),
        design=fit.design.formula,
        contrasts=contrasts,
        samples=table,
        library_sizes=fit.data.library_sizes,
        normalised_counts=pd.DataFrame(
            normalised[:, places], index=list(fit.data.samples), columns=[fit.data.genes[g] for g in places]
        ),
        verdict=fit.verdict,
        diagnostics=_diagnostics(diagnostics),
        hyperparameters=pd.DataFrame.from_dict(diagnostics["hyperparameters"], orient="index"),
        rhat_limit=rhat_limit_curve(record["genes_fitted"], draws["chain"], draws["draw"]),
        min_ess=Limits().ess_per_chain * draws["chain"],
        interval=effects[0].ci,
        groups=None if factor is None else [str(v) for v in table[fit.design.tested.split(":")[0]]],
        replicates=_replicates(fit, {gene for c in contrasts for gene in top_genes(c.table, c.called, TOP)["gene"]}),
        log_counts=logs[:, varied],
        energy=None if diagnostics.get("ebfmi") is None else np.asarray(fit.posterior["sample_stats"]["energy"]),
        shared=fit.shared,
        dispersion_trend=_trend(fit, normalised),
        provenance=_provenance(record),
        warnings=fit.warnings,
        certificate=read_certificate(fit.folder),
    )


def _replicates(fit: DEFit, genes: set[str]) -> dict[str, Any]:
    """Replicate normalised counts [draw, sample] of a few genes, in the order of the study."""
    from bayesexpr.calibration.fitted_study import replicates_of_gene

    found = {}
    for gene in (name for name in fit.data.genes if name in genes):
        try:
            drawn = replicates_of_gene(fit, gene, np.random.default_rng(1))[1]
        except ValueError:  # not fitted, or with a mean beyond what a Poisson variate can have
            continue
        found[gene] = drawn / fit.size_factors
    return found


def _contrast(fit: DEFit, effect: Effect, truth: pd.DataFrame | None) -> ContrastContent:
    chosen = effect.calls()
    table = effect.table
    first = top_genes(table, chosen.called, CURVE_GENES)
    return ContrastContent(
        name=effect.name,
        question=effect.contrast.label,
        table=table,
        rule=chosen.rule,
        called=chosen.called,
        expected_false=chosen.expected_false,
        lfc_threshold=effect.lfc_threshold,
        rope=effect.rope,
        warning=chosen.warning,
        curve=exceedance_of(fit, effect, first) if len(first) else None,
        truth=truth,
        variance=fit.variance_split(effect),
    )


_LABELS = {
    "divergences": ("divergent draws", 0),
    "ebfmi": ("smallest E-BFMI", 2),
    "saturated": ("draws at the largest tree", 0),
    "leapfrogs_per_draw": ("leapfrog steps per draw", 1),
    "max_k": ("largest k-hat of a gene whose importance weights are used", 2),
    "sampled_by_chains": ("genes sampled by Markov chains for a larger k-hat", 0),
    "max_rhat": ("largest R-hat of a gene", 4),
    "min_ess_bulk": ("smallest bulk ESS of a gene", 0),
    "min_ess_tail": ("smallest tail ESS of a gene", 0),
}
"""What the report says of the diagnostics that a method has, and to how many digits."""


def _diagnostics(found: Mapping[str, Any]) -> dict[str, object]:
    """Label the diagnostics; several values stand for their smallest, a list of genes for their number."""
    out: dict[str, object] = {}
    for key, (label, digits) in _LABELS.items():
        value = found.get(key)
        if isinstance(value, Mapping):
            out[label] = len(value)
        elif key in found and not (key == "ebfmi" and value is None):
            out[label] = _rounded(float(np.min(value)) if np.ndim(value) else value, digits)  # type: ignore[arg-type]
    return out


def _rounded(value: float | None, digits: int = 0) -> object:
    """Round a diagnostic; where no gene has it, as after very few draws, say so."""
    return "none" if value is None or np.isnan(value) else round(value, digits or None)


def _trend(fit: DEFit, normalised: Any) -> tuple[Any, Any] | None:
    posterior = fit.posterior["posterior"]
    positive = normalised.mean(axis=0)
    positive = positive[positive > 0]
    mean = np.geomspace(positive.min(), positive.max(), 80)
    if "a0" not in posterior:
        return mean, np.full_like(mean, float(posterior["dispersion"].mean()))
    return mean, float(posterior["a0"].mean()) + float(posterior["a1"].mean()) / mean


def _provenance(record: Any) -> dict[str, dict[str, object]]:
    return {
        "model": {
            "program": record["program"],
            "program digest": record["program_digest"],
            **_spaced(record["options"]),
            "size factors around": record["size_factors"],
        },
        "priors": record["priors"],
        "sampler": _spaced({k: v for k, v in record["sampler"].items() if v is not None}),
        "input": {
            "digest": record["inputs_digest"],
            "genes": record["genes"],
            "genes fitted": record["genes_fitted"],
            "samples": record["samples"],
        },
        "versions": _spaced(record["versions"]),
        "seconds": _spaced({k: round(v, 1) for k, v in record["seconds"].items()}),
    }


def _spaced(items: Mapping[str, Any]) -> dict[str, object]:
    return {key.replace("_", " "): value for key, value in items.items()}
