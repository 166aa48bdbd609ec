"""Posterior SBC: where the data are, a computation can be wrong that prior simulations hardly ever reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fake_calibration as fake
import numpy as np
import pytest

from bayesexpr.calibration.backend import FunctionBackend
from bayesexpr.calibration.campaign import run_campaign
from bayesexpr.calibration.posterior_scenario import MoreSamples, PosteriorScenario, posterior_draws
from bayesexpr.calibration.verdict import FAIL, PASS
from bayesexpr.errors import InputError
from bayesexpr.models import registry

OBSERVED = {"y": np.full(5, 4.0)}  # a mean that the prior N(0, 1) gives once in 8000 simulations


def exact(data: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    y = np.asarray(data["y"])
    return {"mu": rng.normal(y.sum() / (y.size + 1), 1 / np.sqrt(y.size + 1), size=400)}


def wrong_where_data_are_far(data: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """As a sampler that does not reach the far end of a funnel: too narrow where the mean is above 3."""
    mu = exact(data, rng)["mu"]
    return {"mu": mu.mean() + 0.5 * (mu - mu.mean())} if np.mean(data["y"]) > 3.0 else {"mu": mu}


def more(
    parameters: Mapping[str, Any], observed: Mapping[str, Any], rng: np.random.Generator
) -> tuple[dict[str, Any], dict[str, Any]]:
    return dict(parameters), {"y": np.append(observed["y"], rng.normal(parameters["mu"], 1.0, 5))}


def scenario() -> PosteriorScenario:
    return PosteriorScenario(fake.SCENARIO, OBSERVED, posterior_draws(FunctionBackend(exact), OBSERVED, 1), more)


def test_an_exact_posterior_passes() -> None:
    assert run_campaign(scenario(), FunctionBackend(exact), simulations=200).verdict.status == PASS


def test_an_error_far_from_the_prior_is_seen_only_here() -> None:
    """200 simulations, seed 1: prior SBC passes, for one data set in 50 000 lies there; posterior SBC fails."""
    backend = FunctionBackend(wrong_where_data_are_far)
    assert run_campaign(fake.SCENARIO, backend, simulations=200).verdict.status == PASS
    found = run_campaign(scenario(), backend, simulations=200)
    assert found.verdict.status == FAIL
    assert "mu: likely too narrow" in str(found.verdict)


def test_its_digest_follows_the_data() -> None:
    base = scenario()
    other = PosteriorScenario(fake.SCENARIO, {"y": np.full(5, 3.9)}, base.draws, more)
    assert base.name == "normal-mean-posterior"
    assert base.digest() == scenario().digest()
    assert other.digest() != base.digest()
    assert base.implausible(OBSERVED) is None


def test_samples_are_added_with_what_belongs_to_them() -> None:
    model = registry.get("hierarchical_expression")(options={"size_factors": "fixed"})
    given = {"samples": 3, "genes": 4, "log_size_factor": [0.1, 0.0, -0.1], "effective_length": [1.0, 2.0, 3.0, 4.0]}
    truth, data = model.simulate(given, np.random.default_rng(2))
    data = {k: v for k, v in data.items() if k in model.DATA}
    p, both = MoreSamples(model)(truth, data, np.random.default_rng(3))
    assert np.shape(both["count"]) == (6, 4)
    np.testing.assert_array_equal(both["count"][:3], data["count"])
    np.testing.assert_array_equal(both["log_size_factor"], [0.1, 0.0, -0.1] * 2)
    np.testing.assert_array_equal(both["effective_length"], data["effective_length"])
    assert np.shape(p["log_f"]) == (6,)
    assert np.isfinite(model.log_lik(p, both)).all()


def test_designs_and_lengths_of_samples_are_added_too() -> None:
    model = registry.get("negative_binomial_de")(options={"size_factors": "fixed"})
    design = [[-0.5]] * 3 + [[0.5]] * 3
    truth, data = model.simulate({"genes": 5, "design": design}, np.random.default_rng(4))
    data["effective_length"] = np.ones((6, 5))
    p, both = MoreSamples(model)(truth, data, np.random.default_rng(5))
    assert np.shape(both["count"]) == (12, 5)
    assert np.shape(both["effective_length"]) == (12, 5)
    np.testing.assert_array_equal(both["design"], np.concatenate([data["design"]] * 2))
    assert np.shape(p["beta"])[0] == 5


def test_too_few_draws_are_refused() -> None:
    with pytest.raises(InputError, match="at least 396 draws; the backend gives 200"):
        posterior_draws(FunctionBackend(fake.exact), OBSERVED, 1)
