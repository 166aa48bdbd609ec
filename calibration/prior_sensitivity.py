"""How much the posterior depends on the priors: power-scaling.

Each block of priors, and the likelihood, is raised to the power alpha near one by reweighting the draws; how far a
quantity's posterior moves per doubling of the power is its sensitivity (Kallioinen, Paananen, Bürkner and Vehtari
2024, Stat Comput 34:57). A quantity that both move is pulled in two directions: prior and data may be in conflict. One
that only the prior moves is not learned from the data. In a hierarchical model only the top of the hierarchy is
scaled: the priors of the hyperparameters, and the likelihood with the genes' parameters integrated out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesexpr.distributions import Float, sum_to_zero_basis
from bayesexpr.models.base import Model
from bayesexpr.posterior.verdict import Finding

from .fitted_study import FittedStudy
from .measured import Measured
from .quantities import log_lik_of_draws

ALPHAS = (0.99, 1.01)
THRESHOLD = 0.05
"""Sensitivity above which a quantity is called sensitive; powers and threshold are those of Kallioinen et al."""

CONFLICT = "potential prior-data conflict"
STRONG_PRIOR = "potential strong prior or weak likelihood"
LIKELIHOOD = "likelihood"
_MOST = 8
_DRAWS_PER_DIMENSION = 10


@dataclass(frozen=True)
class Scaled:
    """What is scaled, and what is watched; all arrays are [draw].

    Attributes
    ----------
    quantities
        Whose posteriors are watched.
    blocks
        Log prior of each block.
    likelihood
        Log-likelihood; None where there is none to scale.
    """

    quantities: Mapping[str, Float]
    blocks: Mapping[str, Float]
    likelihood: Float | None


def prior_sensitivity(scaled: Scaled) -> pd.DataFrame:
    """Sensitivity of every quantity to every block of priors and to the likelihood.

    Returns
    -------
    pandas.DataFrame
        One row per quantity: ``quantity``, a column for each block, ``likelihood``, ``strongest`` (the block that
        moves it most) and ``diagnosis``, empty where there is nothing to say.
    """
    components = {**scaled.blocks} | ({} if scaled.likelihood is None else {LIKELIHOOD: scaled.likelihood})
    weights = {name: _weights(np.asarray(values, dtype=float)) for name, values in components.items()}
    rows = []
    for name, values in scaled.quantities.items():
        found = {block: _sensitivity(values, pair) for block, pair in weights.items()}
        of_priors = {block: s for block, s in found.items() if block != LIKELIHOOD}
        strongest = max(of_priors, key=lambda block: of_priors[block]) if of_priors else ""
        rows.append(
            {"quantity": name, **found, "strongest": strongest}
            | {"diagnosis": _diagnosis(of_priors.get(strongest, 0.0), found.get(LIKELIHOOD))}
        )
    return pd.DataFrame(rows)


def finding(table: pd.DataFrame) -> Finding:
    """Say the worst of a table of sensitivities."""
    for diagnosis in (CONFLICT, STRONG_PRIOR):
        hit = table[table["diagnosis"] == diagnosis]
        if len(hit):
            sizes = [row[row["strongest"]] for _, row in hit.iterrows()]
            row = hit.iloc[int(np.argmax(sizes))]
            return Measured(
                int(diagnosis == CONFLICT),
                f"Power-scaling: {diagnosis} for {len(hit)} of {len(table)} quantities, most for {row['quantity']} "
                f"with the prior on {row['strongest']} (sensitivity {max(sizes):.2f}, limit {THRESHOLD}).",
                max(sizes) / THRESHOLD,
                topic="priors",
            )
    if LIKELIHOOD not in table:
        return Measured(
            0,
            "There are too few draws to tell the likelihood's pull on what all genes share from the priors'.",
            topic="priors",
        )
    most = max((float(row[row["strongest"]]) for _, row in table.iterrows() if row["strongest"]), default=0.0)
    text = f"Priors move none of {len(table)} quantities by more than {most:.2f} (power-scaling; limit {THRESHOLD})."
    return Measured(0, text, most / THRESHOLD, topic="priors")


def of_study(fitted: FittedStudy) -> Scaled:
    """Blocks of the flagship's priors, and the likelihood of its hyperparameters.

    That likelihood, with all genes integrated out, is taken from the draws: their normal approximation on the whole
    real line over their prior. With too few draws for a covariance there is none.
    """
    model, at, h, full = fitted.model, fitted.at, fitted.hyper, fitted.full

    def log_prior(name: str, value: Float) -> Float:
        density = np.asarray(model.prior(name).logpdf(value))
        return np.asarray(density.reshape(len(density), -1).sum(axis=1))

    def total(*names: str) -> Float:
        return np.asarray(sum(log_prior(name, h[name]) for name in names))

    normal = model.options["effects"] == "normal"
    blocks = {
        "intercepts": total("mu_alpha", "sigma_alpha"),
        "dispersion": total("a0", "a1", "sigma_phi") if at.trend else total("dispersion"),
        "effect sizes": log_prior("s_normal", h["s"]) if normal else total("s"),
    }
    if at.spike:
        blocks["effect sizes"] = blocks["effect sizes"] + total("m")
        concentration = model.prior("weight").concentration(at.C)
        blocks["share of changed genes"] = ((concentration - 1) * np.log(h["weight"])).sum(axis=1)
    if at.B:
        blocks["other effects"] = total("tau")
    quantities = _quantities(fitted)
    if at.estimated:
        v = (h["log_f"] - full["log_size_factor"]) @ sum_to_zero_basis(at.S)
        blocks["size factors"] = log_prior("size_factors", v)
    x = fitted.unconstrained
    likelihood = None
    if len(x) >= _DRAWS_PER_DIMENSION * at.H and np.linalg.matrix_rank(np.cov(x.T)) == at.H:
        rows = [{name: value[i] for name, value in h.items()} for i in range(len(x))]
        prior = np.array([model.hyper_log_density(at, one, row) for one, row in zip(x, rows, strict=True)])
        white = np.linalg.solve(np.linalg.cholesky(np.cov(x.T)), (x - x.mean(axis=0)).T)
        likelihood = -0.5 * (white**2).sum(axis=0) - prior
    return Scaled(quantities, blocks, likelihood)


def of_program(model: Model, draws: Mapping[str, Any], data: Mapping[str, Any]) -> Scaled:
    """Blocks by the names of a program's priors, where a parameter has that name, and its whole likelihood.

    Parameters
    ----------
    draws
        [draw, ...] of each parameter.
    """
    arrays = {name: np.asarray(values, dtype=float) for name, values in draws.items()}
    blocks = {}
    for name in model.PRIORS:
        if name in arrays and arrays[name][0].size:
            try:
                density = np.asarray(model.prior(name).logpdf(arrays[name]))
            except NotImplementedError:  # a distribution over vectors
                continue
            blocks[name] = density.reshape(len(density), -1).sum(axis=1)
    quantities = {}
    for name, values in arrays.items():
        flat = values.reshape(len(values), -1)
        for k, at in enumerate(list(np.ndindex(values.shape[1:]))[:_MOST]):
            quantities[name + (f"[{','.join(map(str, at))}]" if at else "")] = flat[:, k]
    lik = log_lik_of_draws(model, arrays, data)
    return Scaled(quantities, blocks, lik.reshape(len(lik), -1).sum(axis=1))


def _quantities(fitted: FittedStudy) -> dict[str, Float]:
    h = fitted.hyper
    out: dict[str, Float] = {}
    for name in ("mu_alpha", "sigma_alpha", "a0", "a1", "sigma_phi", "dispersion", "s"):
        if name in h:
            out[name] = h[name]
    if fitted.at.spike:
        out |= {f"m[{k}]": h["m"][:, k] for k in range(fitted.at.K)}
        out["share of unchanged genes"] = h["weight"][:, 0]
    out |= {f"tau[{b}]": h["tau"][:, b] for b in range(fitted.at.B)}
    if fitted.at.estimated:
        out |= {f"log size factor of {name}": h["log_f"][:, s] for s, name in enumerate(fitted.samples)}
    return out


def _weights(log_component: Float) -> tuple[Float, Float] | None:
    """Normalised weights of the two powers; None where the component is the same in every draw."""
    from arviz_stats.base.array import array_stats

    if not np.isfinite(log_component).all() or np.ptp(log_component) < 1e-10:
        return None
    pair = [
        np.exp(array_stats.power_scale_lw(log_component, alpha))  # type: ignore[no-untyped-call]
        for alpha in ALPHAS
    ]
    low, high = (w / w.sum() for w in pair)
    return low, high


def _sensitivity(values: Float, pair: tuple[Float, Float] | None) -> float:
    from arviz_stats.base.array import array_stats

    if pair is None or np.ptp(values) < 1e-12:
        return 0.0
    row, low, high = (np.asarray(a, dtype=float)[None] for a in (values, *pair))
    found = array_stats.power_scale_sense(  # type: ignore[no-untyped-call]
        row, low, high, lower_alpha=ALPHAS[0], upper_alpha=ALPHAS[1]
    )
    return float(found)


def _diagnosis(prior: float, likelihood: float | None) -> str:
    if prior < THRESHOLD or likelihood is None:
        return ""
    return CONFLICT if likelihood >= THRESHOLD else STRONG_PRIOR
