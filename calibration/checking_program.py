"""Check a finished fit of any program of the ladder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayesexpr.distributions import Float
from bayesexpr.empirical_bayes.gene_integration import spread
from bayesexpr.models.base import Draws, Model
from bayesexpr.posterior.importance import reliable_k
from bayesexpr.posterior.verdict import Finding
from bayesexpr.program_fit import checked
from bayesexpr.progress import Progress, Silent

from . import loo_report, prior_sensitivity
from .certificate import Certificate, conclude
from .matched_campaign import calibration_of
from .measured import Measured
from .quantities import log_lik_of_draws

if TYPE_CHECKING:
    from bayesexpr.program_fit import Fit

REPLICATES = 400
MOST_OBSERVATIONS = 2000
"""Observations that are left out one by one; of more, these many are chosen at random."""

MOST_ROWS = 50
"""Rows of the outcome (samples) whose test quantities are shown one by one."""


@dataclass(frozen=True)
class _LeftOut:
    """Plain leave-one-out of some observations, [observation] each."""

    elpd: Float
    pareto_k: Float
    pit: Float | None


def check_program(
    fit: Fit, *, seed: int = 1, campaign: str | os.PathLike[str] | None = None, progress: Progress | None = None
) -> Certificate:
    """Check a fit of a program.

    Parameters
    ----------
    seed
        Of replicates, and of the choice of observations where there are many.
    campaign
        CAMPAIGN folder of the fit's own design; see :func:`.matched_campaign.calibration_of`.
    progress
        Told where the check is.

    Returns
    -------
    Certificate
        Without predictive checks, leave-one-out and prior sensitivity where the program gives no replicate or no
        log-likelihood draw by draw.
    """
    news = progress or Silent()
    model, data = fit.model, checked(fit.model, fit.data)
    record, calibrated = calibration_of(fit, model, campaign)
    rng = np.random.default_rng([seed, 4])
    draws = {str(name): fit.draws(str(name)) for name in fit.posterior["posterior"].data_vars}
    tables: dict[str, pd.DataFrame] = {}
    findings: list[Finding] = []
    outcome = np.asarray(data[model.OUTCOME])
    size = len(next(iter(draws.values())))
    broken = _not_finite(draws)
    try:
        if broken:
            text = f"{broken} of {size} draws hold a value that is not finite: nothing was predicted from them."
            findings.append(Finding(2, text, topic="prediction"))
        else:
            _check(model, draws, data, rng, news, tables, findings)
    except NotImplementedError:
        text = f"{model.NAME} has no predictive distribution draw by draw; fit the study with fit_de."
        findings.append(Finding(1, text, topic="prediction"))
    findings.append(calibrated)
    return Certificate(
        title=f"{model.NAME} by {fit.record['method']}, {outcome.size} observations",
        verdict=conclude(findings, fit.verdict),
        tables={name: table for name, table in tables.items() if len(table)},
        numbers={
            "observations": outcome.size,
            "replicates": min(REPLICATES, size),
            "k_threshold": reliable_k(size),
            "sensitivity_threshold": prior_sensitivity.THRESHOLD,
            "record": record,
            "seed": seed,
        },
    )


def _check(
    model: Model,
    draws: Mapping[str, Any],
    data: Mapping[str, Any],
    rng: np.random.Generator,
    news: Progress,
    tables: dict[str, pd.DataFrame],
    findings: list[Finding],
) -> None:
    """Fill tables and findings."""
    outcome, size = np.asarray(data[model.OUTCOME]), len(next(iter(draws.values())))
    news.say("replicated outcomes")
    tables["overall"], tables["samples"] = _predictive(model, draws, data, outcome, rng)
    findings.append(_finding(pd.concat([tables["overall"], tables["samples"]])))
    news.say("leave-one-out")
    left = _leave_one_out(model, draws, data, outcome, rng)
    tables["loo"] = loo_report.program_table(left.elpd, left.pareto_k, size)
    tables["pareto_k"] = loo_report.k_table(left.pareto_k, reliable_k(size))
    if left.pit is not None and len(left.pit) >= loo_report.LEAST_FOR_PIT:
        tables["pit"] = loo_report.pit_table(left.pit)
        findings.append(loo_report.pit_finding(left.pit))
    findings.append(loo_report.finding(tables["loo"]))
    news.say("prior sensitivity")
    scaled = prior_sensitivity.of_program(model, draws, data)
    if scaled.blocks:
        tables["sensitivity"] = prior_sensitivity.prior_sensitivity(scaled)
        findings.append(prior_sensitivity.finding(tables["sensitivity"]))


def _not_finite(draws: Mapping[str, Any]) -> int:
    """Count the draws in which some quantity is not finite."""
    arrays = [np.asarray(values, dtype=float) for values in draws.values()]
    good = [np.isfinite(a).reshape(len(a), -1).all(axis=1) for a in arrays]
    return int(np.count_nonzero(~np.logical_and.reduce(good)))


def _predictive(
    model: Model, draws: Mapping[str, Any], data: Mapping[str, Any], outcome: NDArray[Any], rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Test quantities of the whole outcome, and of each of its rows."""
    each = _some(draws, REPLICATES)
    replicated = np.stack([np.asarray(model.replicate(p, data, rng)) for p in each]).astype(float)
    count = model.OUTCOME == "count"
    whole = [
        {"sample": "all", **row} for row in _rows(outcome.reshape(-1), replicated.reshape(len(replicated), -1), count)
    ]
    rows = []
    if outcome.ndim > 1:
        for s in range(min(len(outcome), MOST_ROWS)):
            found = _rows(outcome[s].reshape(-1), replicated[:, s].reshape(len(replicated), -1), count)
            rows += [{"sample": str(s), **row} for row in found]
    return pd.DataFrame(whole), pd.DataFrame(rows)


def _rows(outcome: Float, replicated: Float, count: bool) -> Iterator[dict[str, Any]]:
    quantities: dict[str, Any] = {"smallest": np.min}
    if count:
        quantities = {"share of zeros": lambda y, axis=None: np.mean(y == 0, axis=axis)}
    quantities |= {"mean": np.mean, "standard deviation": np.std, "largest": np.max}
    if outcome.size == 1:
        quantities = {"value": np.mean}
    for name, function in quantities.items():
        value, drawn = float(function(outcome)), np.asarray(function(replicated, axis=1), dtype=float)
        low, middle, high = np.quantile(drawn, [0.025, 0.5, 0.975])
        sides = np.count_nonzero(drawn <= value) + 0.5, np.count_nonzero(drawn >= value) + 0.5
        p = min(2 * min(sides) / (len(drawn) + 1), 1.0)
        yield {"quantity": name, "observed": value, "median": middle, "lower": low, "upper": high, "p_value": p}


def _finding(table: pd.DataFrame) -> Finding:
    """Say the smallest p-value, adjusted for the number of test quantities."""
    row = table.iloc[int(table["p_value"].argmin())]
    adjusted = min(float(row["p_value"]) * len(table), 1.0)
    where = "" if row["sample"] == "all" else f" of row {row['sample']}"
    text = (
        f"Of {len(table)} test quantities of the outcome the {row['quantity']}{where} is the least like its "
        f"replicates: {row['observed']:.4g}, 95 % of them {row['lower']:.4g} to {row['upper']:.4g}."
    )
    # the data made the posterior too: small p-values are rarer than they say
    resolved = float(row["p_value"]) <= 2.0 / REPLICATES
    alarm = adjusted < 0.05 or (resolved and len(table) > 10)
    return Measured(int(alarm), text, 0.05 / adjusted)


def _leave_one_out(
    model: Model, draws: Mapping[str, Any], data: Mapping[str, Any], outcome: NDArray[Any], rng: np.random.Generator
) -> _LeftOut:
    """PSIS of every observation, and its PIT by the same weights where each observation is one number."""
    from arviz_stats.base.array import array_stats

    log_lik = log_lik_of_draws(model, draws, data)
    log_lik = log_lik.reshape(len(log_lik), -1)
    places = np.arange(log_lik.shape[1])
    if len(places) > MOST_OBSERVATIONS:
        places = np.sort(rng.choice(places, MOST_OBSERVATIONS, replace=False))
    each = _some(draws, len(log_lik))
    replicated = None
    if log_lik.shape[1] == outcome.size:
        replicated = np.stack([np.asarray(model.replicate(p, data, rng)).ravel()[places] for p in each])
    elpd, k, pit = np.empty(len(places)), np.zeros(len(places)), np.empty(len(places))
    for n, i in enumerate(places):
        column = log_lik[:, i]
        log_weight = np.full(len(column), -np.log(len(column)))
        if np.ptp(column) > 1e-10:
            log_weight, k[n] = array_stats.psislw(column)  # type: ignore[no-untyped-call]
            log_weight = log_weight - logsumexp(log_weight)
        elpd[n] = logsumexp(log_weight + column)
        if replicated is not None:
            y, weight = outcome.reshape(-1)[i], np.exp(log_weight)
            below, same = weight @ (replicated[:, n] < y), weight @ (replicated[:, n] == y)
            pit[n] = below + rng.random() * same
    return _LeftOut(elpd, k, None if replicated is None else pit)


def _some(draws: Mapping[str, Any], number: int) -> list[Draws]:
    """About `number` single draws, evenly spread."""
    size = len(next(iter(draws.values())))
    return [{name: values[i] for name, values in draws.items()} for i in spread(size, number)]
