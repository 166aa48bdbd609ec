"""Check a finished fit: from its draws and its data to a certificate."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesexpr.distributions import Float
from bayesexpr.empirical_bayes import outlying
from bayesexpr.empirical_bayes.gene_integration import spread
from bayesexpr.empirical_bayes.leave_one_out import LeftOut, leave_one_out
from bayesexpr.posterior.de_draws import GeneBlock, linear_predictor
from bayesexpr.posterior.verdict import Finding
from bayesexpr.progress import Progress, Silent

from . import loo_report, outlying_cells, prior_sensitivity
from .against_truth import truth_metrics
from .certificate import Certificate, conclude
from .decisions import study_report
from .fitted_study import FittedStudy, finite_genes, take_draws, take_genes
from .matched_campaign import calibration_of
from .predictive_checks import REPLICATES, PredictiveChecks, Streamed, reference_p_values

if TYPE_CHECKING:
    from bayesexpr.de_fit import DEFit

PLAIN_GENES = 100
"""Genes whose counts are also left out by reweighting draws, as a second opinion."""


def check_study(
    fit: DEFit,
    *,
    seed: int = 1,
    truth: pd.DataFrame | None = None,
    campaign: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Certificate:
    """Check a fit of ``negative_binomial_de``.

    Parameters
    ----------
    seed
        Of replicates and simulated genes. Integration points are those by which the fit judged its counts.
    truth
        Columns ``gene`` and ``true_log2fc``, known for the first contrast of a simulated study.
    campaign
        CAMPAIGN folder of the fit's own design; see :func:`.matched_campaign.calibration_of`.
    progress
        Told where the check is.

    Returns
    -------
    Certificate
    """
    news = progress or Silent()
    fitted = FittedStudy.of(fit)
    record, calibrated = calibration_of(fit, fitted.model, campaign)
    rng = np.random.default_rng([seed, 3])
    news.say(f"replicated tables of {fitted.full['G']} genes x {fitted.full['S']} samples")
    streamed, plain = _stream(fitted, rng)
    hyper, study = fitted.hyper_for_integrals(), fitted.study()
    news.say("simulated genes to hold p-values against")
    checks = streamed.finish(reference_p_values(study, hyper, rng), fitted.samples)
    news.say("leave-one-out of every count")
    left = leave_one_out(study, hyper, outlying.SEED)
    pit = left.pit(rng)
    news.say("prior sensitivity")
    sensitivity = prior_sensitivity.prior_sensitivity(prior_sensitivity.of_study(fitted))
    outliers = outlying_cells.outlying_cells(left, fitted.full["count"], fitted.genes, fitted.samples)
    loo = loo_report.study_table(left, plain)
    marked = int((fit.genes["status"] == "outlier").sum())
    findings = [
        *checks.findings(),
        loo_report.pit_finding(pit, dict(enumerate(fitted.samples))),
        outlying_cells.finding(outliers, left.elpd.size, marked),
        prior_sensitivity.finding(sensitivity),
        loo_report.finding(loo),
        calibrated,
    ]
    tables = {
        "samples": checks.samples,
        "overall": checks.overall,
        "genes": checks.genes,
        "trend": checks.trend,
        "pit": loo_report.pit_table(pit),
        "outliers": outliers,
        "loo": loo,
        "pareto_k": loo_report.k_table(left.pareto_k, left.threshold),
        "sensitivity": sensitivity,
    }
    if truth is not None:
        effect = fit.contrast(_first_contrast(fit), ci=0.9)
        decided = study_report(effect, truth)
        tables |= {"decisions": decided.table(), "truth": truth_metrics(effect.table, truth)}
        said = str(decided).replace("\n ", ";")
        findings.append(Finding(int(not decided.ok), said[:1].upper() + said[1:], topic="truth"))
    return Certificate(
        title=f"{fitted.model.NAME}: {fit.design.formula}, {fitted.full['G']} genes x {fitted.full['S']} samples",
        verdict=conclude(findings, fit.verdict),
        tables={name: table for name, table in tables.items() if len(table) or name == "outliers"},
        numbers={
            "genes": fitted.full["G"],
            "samples": fitted.full["S"],
            "replicates": REPLICATES,
            "counts_with_points_of_their_own": left.again,
            "k_threshold": left.threshold,
            "sensitivity_threshold": prior_sensitivity.THRESHOLD,
            "record": record,
            "seed": seed,
        },
        by_gene=_by_gene(fitted, left, checks),
    )


def _by_gene(fitted: FittedStudy, left: LeftOut, checks: PredictiveChecks) -> pd.DataFrame:
    columns = {
        "gene": fitted.genes,
        "elpd": left.elpd.sum(axis=0),
        "pareto_k": left.pareto_k.max(axis=0),
        "tail": left.tail.min(axis=0),
    }
    return pd.DataFrame(columns | {f"p_{name}": p for name, p in checks.gene_p_values.items()})


def _first_contrast(fit: DEFit) -> str:
    asked = fit.record.get("contrasts") or [str(fit.design.column_names[fit.design.tested_columns[0]])]
    return str(asked[0])


def _stream(fitted: FittedStudy, rng: np.random.Generator) -> tuple[Streamed, loo_report.PlainSubset | None]:
    """Go through the draws once: replicated tables of all genes, plain leave-one-out of a few."""
    streamed = Streamed(fitted, rng)
    pick = spread(fitted.draws, REPLICATES)
    chosen = np.sort(rng.choice(fitted.full["G"], min(PLAIN_GENES, fitted.full["G"]), replace=False))
    parts = []
    for block in fitted.blocks():
        streamed.add(take_draws(block, pick))
        inside = chosen[(chosen >= block.genes.start) & (chosen < block.genes.stop)]
        inside = inside[finite_genes(block)[inside - block.genes.start]]
        if len(inside):
            parts.append(_plain(fitted, block, inside))
    return streamed, loo_report.join(parts) if parts else None


def _plain(fitted: FittedStudy, block: GeneBlock, genes: Any) -> loo_report.PlainSubset:
    full, places = fitted.full, genes - block.genes.start
    few = take_genes(block, places)
    cut = {**full, "log_length": full["log_length"][:, genes]}
    mu = np.exp(np.minimum(linear_predictor(few, fitted.hyper["log_f"][None], cut)[0], 40.0))
    phi: Float = np.exp(few.log_phi[0].astype(float))
    log_weight = np.log(fitted.hyper["weight"]) if full["C"] > 1 else np.zeros((fitted.draws, 1))
    return loo_report.plain_subset(full["count"][:, genes], mu, phi, log_weight, genes)
