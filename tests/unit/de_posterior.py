"""A made-up posterior of a small study, as the chains of ``negative_binomial_de`` would have left it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesexpr.data.design import Design, build_design
from bayesexpr.models.de_layout import Layout, Whitening
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.posterior.de_draws import ChainArrays, GeneBlock, gene_block, gene_slices

CHAINS, DRAWS = 2, 5


@dataclass(frozen=True)
class Made:
    """Counts in three groups and two batches, and draws that are anything but converged."""

    model: NegativeBinomialDE
    plan: Design
    full: dict[str, Any]
    at: Layout
    maps: Whitening
    arrays: ChainArrays
    theta: Any
    psi: Any


def make(G: int = 11, levels: tuple[str, ...] = ("a", "b", "c"), seed: int = 1, **options: str) -> Made:
    rng = np.random.default_rng(seed)
    labels = [level for level in sorted(levels) for _ in range(4)]
    samples = [f"s{k}" for k in range(len(labels))]
    table = pd.DataFrame(
        {"group": pd.Categorical(labels, list(levels)), "batch": ["x", "y"] * (len(labels) // 2)}, index=samples
    )
    plan = build_design("~ batch + group", table)
    model = NegativeBinomialDE(options=options)
    data = {
        "count": rng.negative_binomial(3, 0.03, (len(labels), G)),
        "design": plan.matrix[:, plan.tested_columns],
        "nuisance_design": plan.matrix[:, plan.nuisance_columns],
        "nuisance_term": plan.nuisance_term_index,
        "log_size_factor": rng.normal(0, 0.2, len(labels)),
        "effective_length": rng.uniform(500, 2000, (len(labels), G)),
    }
    if model.options["effects"] == "spike_slab":
        data["component"] = plan.partitions().projectors
    full = dict(model.complete(data))
    at = model.layout(full)
    maps = Whitening(
        theta_center=rng.normal(0, 0.3, at.H) + 4.0 * (np.arange(at.H) == 0),
        theta_scale=np.tril(rng.normal(0, 0.1, (at.H, at.H)), -1) + np.diag(rng.uniform(0.1, 0.3, at.H)),
        center=rng.normal(0, 0.3, (G, at.P)) + 4.0 * (np.arange(at.P) == 0),
        scale=rng.uniform(0.2, 0.5, (G, at.P)),
        slope=rng.normal(0, 0.2, (at.P, G, 2)),
        driver=rng.normal(0, 0.2, (at.P, 2, at.H)),
    )
    zeta = rng.normal(size=(CHAINS, DRAWS, at.H))
    z = rng.normal(size=(CHAINS, DRAWS, G, at.P)).astype(np.float32)
    coordinates = [f"z.{g + 1}.{p + 1}" for p in range(at.P) for g in range(G)]
    names = ("lp__", *(f"zeta.{h + 1}" for h in range(at.H)), *coordinates, "mu_alpha")
    columns = [
        np.column_stack([np.zeros(DRAWS), zeta[c], z[c].transpose(0, 2, 1).reshape(DRAWS, -1), np.zeros(DRAWS)])
        for c in range(CHAINS)
    ]
    arrays = ChainArrays.find(names, [c.astype(np.float32) for c in columns], (at.H, G, at.P))
    theta = maps.theta(arrays.zeta)
    psi = np.stack([[maps.psi(z[c, d].astype(float), theta[c, d]) for d in range(DRAWS)] for c in range(CHAINS)])
    return Made(model, plan, full, at, maps, arrays, theta, psi)


def gene_blocks(arrays: ChainArrays, maps: Whitening, at: Layout, full: dict[str, Any], size: int) -> list[GeneBlock]:
    """Every gene's posterior, `size` genes at a time."""
    theta = maps.theta(arrays.zeta)
    hyper = at.hyper(theta, full["log_size_factor"])
    return [gene_block(arrays, maps, at, full, theta, hyper, genes) for genes in gene_slices(full["G"], size)]
