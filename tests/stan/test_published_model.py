"""The published differential-expression model as the text simulates it, through the fit that serves every program."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bayesexpr.fitting import Fit, fit
from bayesexpr.models.negative_binomial_de import CHAPTER_OPTIONS, NegativeBinomialDE
from bayesexpr.stan.toolchain import Toolchain

pytestmark = pytest.mark.needs_stan


def test_recovery_of_100_genes_in_7_samples(toolchain: Toolchain) -> None:
    # the text's figure 3: 100 genes, 7 samples of two conditions, 90 % intervals. Seed 14; tolerance three binomial
    # errors around 90 %, as if all were independent.
    model = NegativeBinomialDE(options=CHAPTER_OPTIONS)
    design = [[-0.5]] * 3 + [[0.5]] * 4
    truth, data = model.simulate({"genes": 100, "design": design}, np.random.default_rng(14))
    found = fit("negative_binomial_de", data, options=CHAPTER_OPTIONS, seed=3, cores=2, warmup=400, draws=500)
    assert found.diagnostics["divergences"] == 0
    assert found.diagnostics["max_rhat"] < 1.06
    for name, total in (("beta", 100), ("alpha", 100), ("log_f", 7)):
        low, high = np.quantile(found.draws(name), [0.05, 0.95], axis=0)
        inside = int(((low <= truth[name]) & (truth[name] <= high)).sum())
        assert abs(inside - 0.9 * total) <= 3 * (0.09 * total) ** 0.5 + 0.5, (name, inside)
    # beta is the total change between the conditions, whose codes differ by one: a doubled effect would be far off
    effect = found.draws("beta").mean(axis=0)[:, 0]
    assert np.polyfit(truth["beta"][:, 0], effect, 1)[0] == pytest.approx(1.0, abs=0.25)
    check_replicates(found)


def check_replicates(found: Fit) -> None:
    """Replicates look like the counts: where a count lies among its own is uniform, within 5 errors of 700."""
    kept = replace(found, posterior=found.posterior.isel(draw=slice(None, None, 5)))
    drawn = kept.add("posterior_predictive", seed=3).posterior["posterior_predictive"]["counts"]
    assert drawn.dims == ("chain", "draw", "sample_id", "gene")
    counts, replicates = np.asarray(found.data["count"]), drawn.to_numpy().reshape(-1, 7, 100)
    place = (replicates < counts).mean(axis=0) + 0.5 * (replicates == counts).mean(axis=0)
    assert abs(place.mean() - 0.5) < 5 * (1 / 12 / 700) ** 0.5
    assert place.std() < 12**-0.5 + 0.02  # the replicated counts know these genes, so no wider
    shuffled = np.random.default_rng(1).permutation(counts, axis=1)
    far = (replicates < shuffled).mean(axis=0)
    assert far.std() > place.std() + 0.08  # the control: genes exchanged
