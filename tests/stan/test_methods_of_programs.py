"""Every program by every method that Stan has: they run, and an approximation says how far it is from the posterior."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from bayesexpr.fitting import Fit, fit
from bayesexpr.models import registry
from bayesexpr.program_fit import GROUPS, outcome_variable
from bayesexpr.stan.toolchain import Toolchain

pytestmark = pytest.mark.needs_stan


def fitted(name: str, method: str, **more: Any) -> Fit:
    """Fit the program's own scenario, simulated with seed 7."""
    model = registry.get(name)()
    data = model.simulate(model.SCENARIO, np.random.default_rng(7))[1]
    return fit(name, data, method=method, seed=1, chains=2, cores=2, **more)


@pytest.mark.parametrize("name", registry.names())
@pytest.mark.parametrize("method", ["pathfinder", "laplace", "advi"])
def test_an_approximation_runs_and_reports_its_k_hat(name: str, method: str, toolchain: Toolchain) -> None:
    found = fitted(name, method, draws=400)
    k = found.diagnostics["pareto_k"]
    assert not math.isnan(k)
    text = " ".join(finding.text for finding in found.verdict.findings)
    assert "k-hat" in text
    assert found.verdict.passed == (k <= 0.7)
    assert {"lp", "lp_approximation"} <= set(found.posterior["sample_stats"].data_vars)
    for values in found.posterior["posterior"].data_vars.values():
        assert np.isfinite(values.to_numpy()).all()


@pytest.mark.parametrize("name", registry.names())
def test_nuts_runs_is_judged_and_checked(name: str, toolchain: Toolchain) -> None:
    found = fitted(name, "nuts", warmup=300, draws=300, thin=3)
    assert found.diagnostics["divergences"] == 0
    assert found.diagnostics["max_rhat"] < 1.08
    assert set(found.posterior["posterior"].data_vars) <= set(found.model.PARAMETERS)
    every = found.add(*GROUPS, prior_draws=10).posterior
    outcome, observed = outcome_variable(found.model), np.asarray(found.data[found.model.OUTCOME])
    for group in ("posterior_predictive", "prior_predictive"):
        assert every[group][outcome].shape[2:] == observed.shape
    replicates = every["posterior_predictive"][outcome].to_numpy()
    low, high = np.quantile(replicates, [0.005, 0.995], axis=(0, 1))
    assert np.mean((low <= observed) & (observed <= high)) > 0.9
    assert np.isfinite(every["log_likelihood"][outcome].to_numpy()).all()
