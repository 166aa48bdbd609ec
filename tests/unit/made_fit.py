"""A differential-expression fit without Stan: exact draws of its genes, given hyperparameters known but for noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayesexpr.data.counts import CountData
from bayesexpr.data.design import build_design
from bayesexpr.de_fit import DEFit
from bayesexpr.empirical_bayes.gene_integration import Hyper, approximate, points, proposals, weigh
from bayesexpr.empirical_bayes.laplace import Study
from bayesexpr.models.negative_binomial_de import SLAB_NU, NegativeBinomialDE
from bayesexpr.names import GENE, SAMPLE
from bayesexpr.posterior import store
from bayesexpr.posterior.de_draws import GeneBlock, component_probability
from bayesexpr.posterior.verdict import Finding, Verdict

CHAINS, DRAWS = 2, 150


def make_fit(
    folder: Path, *, genes: int = 60, seed: int = 1, factors: Any = None, spoil: Any = None, prior: Any = None
) -> tuple[DEFit, pd.DataFrame]:
    """Simulate a study of 4 + 4 samples and draw from its posterior.

    Parameters
    ----------
    factors
        Log size factors of the study, [8]; those given to the model are 0. Both are 0 unless given.
    spoil
        Changes the simulated counts [S, G] in place before they are fitted.
    prior
        Priors other than the defaults.

    Returns
    -------
    fit, truth
        Truth has columns ``gene`` and ``true_log2fc``.
    """
    rng = np.random.default_rng(seed)
    S = 8
    samples = tuple(f"s{k}" for k in range(S))
    table = pd.DataFrame({"group": ["a"] * 4 + ["b"] * 4}, index=samples)
    plan = build_design("~ group", table)
    model = NegativeBinomialDE(priors=prior or {})
    centre = {
        "mu_alpha": 4.0,
        "sigma_alpha": 2.0,
        "a0": 0.03,
        "a1": 2.0,
        "sigma_phi": 0.5,
        "s": 0.6,
        "m": np.zeros(1),
        "weight": np.array([0.7, 0.3]),
        "tau": np.zeros(0),
        "log_f": np.zeros(S) if factors is None else np.asarray(factors, dtype=float),
    }
    given = {"design": plan.matrix[:, plan.tested_columns], "component": plan.partitions().projectors}
    truth, data = model.simulate({**given, "genes": genes}, rng, centre)
    counts = data["count"].copy()
    if spoil is not None:
        spoil(counts)
    counts[0, ~counts.any(axis=0)] = 1
    full = model.complete({**given, "count": counts})
    at = model.layout(full)

    # the hyperparameters' posterior: a normal about the truth, as wide as so many genes would make it
    x = at.theta({k: np.asarray(v, dtype=float) for k, v in centre.items()}, full["log_size_factor"])
    total = CHAINS * DRAWS
    sd = np.full(at.H, 1.0 / np.sqrt(genes))
    sd[at.v] = 0.03
    theta = x + sd * rng.normal(size=(total, at.H))
    hyper = at.hyper(theta, full["log_size_factor"])
    study = Study(at, full, SLAB_NU)
    weighted = weigh(
        study,
        Hyper({k: v[:: total // 16] for k, v in hyper.items()}, centre),
        drawn := points([[p] for p in proposals(study, centre, approximate(study, centre))], 128, rng),
    )
    block = _draw(model, full, centre, weighted, drawn, hyper, rng)
    coords = {
        "chain": np.arange(CHAINS),
        "draw": np.arange(DRAWS),
        GENE: np.array([f"g{k}" for k in range(genes)], dtype=object),
        SAMPLE: list(samples),
        store.TESTED: ["group"],
        store.OTHER: [],
        store.COMPONENT: ["null", "changed"],
        "other_term": [],
    }
    shaped = {k: v.reshape(CHAINS, DRAWS, *v.shape[1:]) for k, v in hyper.items()}
    sampler = {"lp": np.zeros((CHAINS, DRAWS)), "diverging": np.zeros((CHAINS, DRAWS), dtype=bool)}
    constant = {
        "projector": ((store.COMPONENT, store.TESTED, "tested_coefficient_in"), full["component"]),
        "log_size_factor": ((SAMPLE,), full["log_size_factor"]),
    }
    folder.mkdir(parents=True, exist_ok=True)
    store.create(folder / store.POSTERIOR, shaped, sampler, coords, counts, constant)
    store.write_block(folder / store.POSTERIOR, block)
    names = tuple(coords[GENE])
    frame = pd.DataFrame(
        {
            "gene": names,
            "baseMean": counts.mean(axis=0),
            "dispersion": np.exp(-block.log_phi.astype(float)).mean(axis=(0, 1)),
            "rhat": 1.0,
            "ess_bulk": 250.0,
            "ess_tail": 250.0,
            "status": "ok",
            "fitted": True,
        }
    )
    record = {
        "program": model.NAME,
        "method": "nuts",
        "options": dict(model.options),
        "priors": {name: str(model.prior(name)) for name in model.PRIORS},
        "contrasts": ["group,b,a"],
        "settings": {"chains": CHAINS, "draws": DRAWS},
    }
    fit = DEFit(
        folder=folder,
        data=CountData(counts, names, samples, table),
        design=plan,
        genes=frame,
        verdict=Verdict("trustworthy", (Finding(0, "None of the draws diverged."),), {"ok": genes}),
        diagnostics={},
        record=record,
    )
    effect = np.where(truth["component"] > 0, truth["beta"][:, 0], 0.0)
    weights = plan.contrast("group,b,a").weights[plan.tested_columns]
    known = pd.DataFrame({"gene": names, "true_log2fc": weights[0] * effect / np.log(2)})
    return fit, known


def _draw(
    model: NegativeBinomialDE, full: Any, centre: Any, weighted: Any, drawn: Any, hyper: Any, rng: np.random.Generator
) -> GeneBlock:
    """Draws of every gene's parameters: points picked by their weights, the effect of the null from its prior."""
    total, G, N = CHAINS * DRAWS, full["G"], len(drawn[0][0])
    weight = np.exp(weighted.log_weight).mean(axis=0)
    reach = np.cumsum(weight, axis=0)
    pick = np.stack([(reach < row * reach[-1]).sum(axis=0) for row in rng.random((total, G))])
    x = np.concatenate([np.pad(drawn[0][0], ((0, 0), (0, 0), (0, 1))), drawn[1][0]])
    values = np.take_along_axis(x, pick[..., None], axis=0)
    d = np.where(pick < N, rng.standard_t(4, pick.shape), values[..., 2])
    alpha = values[..., 1]
    log_phi = centre["sigma_phi"] * values[..., 0] - np.log(centre["a0"] + centre["a1"] * np.exp(-alpha))
    beta = (centre["s"] * d)[..., None]
    gamma = np.empty((total, G, 0))
    probability = component_probability(alpha, log_phi, beta, gamma, hyper, full, slice(0, G))
    arrays = (
        a.reshape(CHAINS, DRAWS, *a.shape[1:]).astype(np.float32) for a in (alpha, log_phi, beta, gamma, probability)
    )
    return GeneBlock(slice(0, G), *arrays)
