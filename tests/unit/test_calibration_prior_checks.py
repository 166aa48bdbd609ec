"""Prior predictive checks: default priors describe experiments, absurd ones do not."""

from __future__ import annotations

import numpy as np
import pytest

from bayesexpr import calibration
from bayesexpr.distributions import nb2_rng
from bayesexpr.errors import InputError
from bayesexpr.models import registry


def test_the_flagships_prior_describes_experiments() -> None:
    """40 simulated studies of 300 genes x 6 samples, seed 1."""
    scenario = {"genes": 300, "design": [[-0.5]] * 3 + [[0.5]] * 3}
    found = calibration.prior_predictive("negative_binomial_de", simulations=40, scenario=scenario)
    assert found.passed
    assert found.verdict == "plausible"
    assert found.quantiles.loc[0.5, "largest_library"] > 1000
    assert found.table["share_of_zeros"].between(0, 1).all()
    assert found.plot("largest_library").get_xlabel() == "largest library"
    with pytest.raises(InputError, match="largest_count"):
        found.plot("mood")


def test_a_prior_of_impossible_counts_is_called_extreme() -> None:
    prior = {"mu_alpha": "normal(30, 1)"}
    found = calibration.prior_predictive("negative_binomial_de", simulations=20, prior=prior)
    assert not found.passed
    assert found.verdict == "vacuous or extreme prior"
    assert "largest count" in str(found)


def test_counts_that_cannot_even_be_drawn_are_faults() -> None:
    prior = {"mu_alpha": "normal(60, 1)"}
    found = calibration.prior_predictive("negative_binomial_de", simulations=5, prior=prior)
    assert found.plausible == 0
    assert "too large to be drawn" in found.table["fault"].iloc[0]


def test_bounds_can_be_given() -> None:
    bounds = calibration.Plausible(library_size=(1e12, 1e13))
    assert not calibration.prior_predictive("negative_binomial_de", simulations=5, plausible=bounds).passed


@pytest.mark.parametrize("name", registry.names())
def test_every_program_with_a_scenario(name: str) -> None:
    if not registry.get(name).SCENARIO:
        with pytest.raises(InputError, match="what to simulate"):
            calibration.prior_predictive(name, simulations=1)
        return
    found = calibration.prior_predictive(name, simulations=10)
    assert len(found.table) == 10
    assert found.plausible >= 0.5


def test_at_least_one() -> None:
    with pytest.raises(InputError, match="at least one"):
        calibration.prior_predictive("beta_binomial", simulations=0)


def test_counts_above_what_stan_can_draw_are_drawn_and_impossible_ones_refused() -> None:
    """Stan's own generator stops at a rate of 2^30; a replicate that is silently missing would spoil every check."""
    rng = np.random.default_rng(1)
    drawn = nb2_rng(np.full(1000, 2.0**31), 1e4, rng)
    assert drawn.mean() == pytest.approx(2**31, rel=0.002)  # its standard error is 3e-4 of the mean
    for mean in (1e20, np.nan):
        with pytest.raises(ValueError, match="lam"):
            nb2_rng(mean, 1e4, rng)
