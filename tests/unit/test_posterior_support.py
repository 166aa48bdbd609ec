"""Draws outside the support of their priors, as a chain's file that was changed may hold them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bayesexpr as bx
from bayesexpr import fitting
from bayesexpr.errors import SamplingError
from bayesexpr.models import registry
from bayesexpr.models.priors import Beta, Dirichlet, Exponential, LogNormal, Normal
from bayesexpr.posterior.support import check_support, outside_support


@pytest.mark.parametrize("name", registry.names())
def test_draws_from_the_prior_are_inside_in_single_precision(name: str) -> None:
    """200 simulations of each program, seed 1."""
    model = registry.get(name)()
    rng = np.random.default_rng(1)
    drawn = [model.simulate(dict(model.SCENARIO), rng)[0] for _ in range(200)]
    names = [key for key in drawn[0] if key in model.PARAMETERS]
    check_support(model, {key: np.stack([p[key] for p in drawn])[None].astype(np.float32) for key in names})


def test_the_edges_of_a_support_are_inside() -> None:
    values = np.array([-1e-3, 0.0, 0.5, 1.0, 1.01])
    assert outside_support(Beta(2, 2), values).tolist() == [True, False, False, False, True]
    assert outside_support(Exponential(1.0), values).tolist() == [True, False, False, False, False]
    assert outside_support(LogNormal(0.0, 1.0, 0.85), values).tolist() == [True, False, False, True, True]
    assert not outside_support(Normal(0.0, 1.0), 1e9 * values).any()
    simplex = np.array([[0.25, 0.75], [0.5, 0.6], [1.25, -0.25]])
    assert outside_support(Dirichlet(1, 1), simplex).any(axis=1).tolist() == [False, True, True]


def fit_with(monkeypatch: pytest.MonkeyPatch, value: float) -> Any:
    """A fit of hierarchical_expression whose chains give sigma_mu = 1 but for one draw."""
    rng = np.random.default_rng(1)
    draws = {"mu_0": rng.normal(size=(2, 50)), "sigma_mu": np.ones((2, 50)), "tau": np.ones((2, 50))}
    draws |= {"log_expression": rng.normal(size=(2, 50, 3)), "log_f": np.zeros((2, 50, 2))}
    draws["sigma_mu"][1, 6] = value
    sampler = ("lp__", "accept_stat__", "stepsize__", "treedepth__", "n_leapfrog__", "divergent__", "energy__")
    columns = {name: rng.normal(size=(2, 50)) for name in sampler} | {"divergent__": np.zeros((2, 50))}
    raw = fitting._Raw(draws, columns, {}, {})
    monkeypatch.setattr(fitting, "_run", lambda *_: raw)
    return bx.fit("hierarchical_expression", {"count": [[1, 2, 3], [4, 5, 6]]}, chains=2, draws=50, seed=1)


def test_a_negative_standard_deviation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    message = r"draw 7 of chain 2 of sigma_mu is -1, where its prior half_normal\(.*\) allows none"
    with pytest.raises(SamplingError, match=message):
        fit_with(monkeypatch, -1.0)
    assert fit_with(monkeypatch, 1.5).draws("sigma_mu").max() == 1.5  # control


def test_an_element_is_named() -> None:
    model = registry.get("gaussian_linear")()
    variance = np.ones((1, 4, 3))
    variance[0, 2, 1] = -4.0
    with pytest.raises(SamplingError, match=r"draw 3 of chain 1 of variance\[1\] is -4"):
        check_support(model, {"variance": variance})
