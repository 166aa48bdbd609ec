"""A study for the tests of the compiled cores: what would show an index or a limit that is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesexpr.models.negative_binomial_de import NegativeBinomialDE


def awkward_study(
    effects: str, G: int, seed: int = 1, dispersion: str = "trend"
) -> tuple[NegativeBinomialDE, dict[str, Any], dict[str, Any]]:
    """Eight samples in two groups, two other terms, lengths, a gene of zeros and one of ten million.

    Returns
    -------
    model, complete inputs, parameters that made them
    """
    model = NegativeBinomialDE(options={"effects": effects, "dispersion": dispersion})
    rng = np.random.default_rng(seed)
    given = {
        "genes": G,
        "design": [[-0.5], [0.5]] * 4,
        "nuisance_design": rng.normal(size=(8, 3)).round(1),
        "nuisance_term": [0, 0, 1],
        "effective_length": rng.uniform(300, 3000, (8, G)),
    }
    p, data = model.simulate(given, rng)
    data["count"] = data["count"].copy()
    data["count"][:, 0], data["count"][0, 1] = 0, 10**7
    return model, model.complete(data), p
