"""Posteriors with published reference draws, met within Monte Carlo error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from frontend_runs import Compile, Home

cmdstanpy = pytest.importorskip("cmdstanpy")

SCHOOLS = {
    "J": 8,
    "y": [28, 8, -3, 7, -1, 1, 18, 12],
    "sigma": [15, 10, 16, 11, 9, 11, 10, 18],
}
SCHOOLS_DATA = "data { int<lower=0> J; vector[J] y; vector<lower=0>[J] sigma; }"
CENTERED = (
    SCHOOLS_DATA
    + """
parameters { vector[J] theta; real mu; real<lower=0> tau; }
model {
  tau ~ cauchy(0, 5);
  theta ~ normal(mu, tau);
  y ~ normal(theta, sigma);
  mu ~ normal(0, 5);
}
"""
)
NONCENTERED = (
    SCHOOLS_DATA
    + """
parameters { vector[J] z; real mu; real<lower=0> tau; }
transformed parameters { vector[J] theta = mu + tau * z; }
model {
  z ~ std_normal();
  y ~ normal(theta, sigma);
  mu ~ normal(0, 5);
  tau ~ cauchy(0, 5);
}
"""
)
GP_POISSON = """
data { int<lower=1> N; array[N] real x; array[N] int k; }
parameters { real<lower=0> rho; real<lower=0> alpha; vector[N] z; }
transformed parameters {
  vector[N] f = cholesky_decompose(add_diag(gp_exp_quad_cov(x, alpha, rho), 1e-10)) * z;
}
model { rho ~ gamma(25, 4); alpha ~ normal(0, 2); z ~ std_normal(); k ~ poisson_log(f); }
"""


@pytest.fixture(scope="module", autouse=True)
def _home(toolchain: Home) -> None:
    cmdstanpy.set_cmdstan_path(str(toolchain.home))


# Posterior means and mean squares with their standard errors: reference draws of posteriordb
# (eight_schools-eight_schools_noncentered, gp_pois_regr-gp_pois_regr).
SCHOOLS_REFERENCE = {
    "theta[1]": (6.150502, 69.36345),
    "theta[5]": (3.614436, 34.35767),
    "theta[8]": (4.883997, 52.12845),
    "mu": (4.410518, 30.40302),
    "tau": (3.602060, 23.20407),
}
GP_REFERENCE = {
    "rho": (5.666529, 32.570579),
    "alpha": (2.921344, 9.162755),
    "f[1]": (3.635741, 13.241741),
    "f[6]": (1.295262, 1.748558),
    "f[11]": (3.506817, 12.324364),
}
GP_DATA = {
    "N": 11,
    "x": [-10, -8, -6, -4, -2, 0, 2, 4, 6, 8, 10],
    "k": [40, 37, 29, 12, 4, 3, 9, 19, 77, 82, 33],
}


def against_reference(exe: Path, data: dict[str, Any], reference: dict[str, tuple[float, float]], **extra: Any) -> None:
    """Means within 4 standard errors, standard deviations within 15 %; the effective size is the summary's."""
    fit = cmdstanpy.CmdStanModel(exe_file=str(exe)).sample(data=data, seed=20, show_progress=False, **extra)
    summary = fit.summary()
    for name, (mean, mean_square) in reference.items():
        sd = np.sqrt(mean_square - mean**2)
        row = summary.loc[name]
        # the reference itself stands on about 10,000 draws
        error = sd * np.sqrt(1 / row["ESS_bulk"] + 1 / 10_000)
        assert abs(row["Mean"] - mean) < 4 * error, name
        assert 0.85 < row["StdDev"] / sd < 1.15, name


def test_eight_schools_noncentered(compile_stan: Compile) -> None:
    exe = compile_stan(NONCENTERED, "schools_noncentered")
    against_reference(exe, SCHOOLS, SCHOOLS_REFERENCE, iter_sampling=2500, adapt_delta=0.95)


def test_eight_schools_centered(compile_stan: Compile) -> None:
    """The funnel's neck is hard to enter: smaller steps, and the effective size of tau is a few hundred."""
    exe = compile_stan(CENTERED, "schools_centered")
    against_reference(exe, SCHOOLS, SCHOOLS_REFERENCE, iter_sampling=5000, adapt_delta=0.99)


def test_gp_poisson(compile_stan: Compile) -> None:
    exe = compile_stan(GP_POISSON, "gp_poisson")
    against_reference(exe, GP_DATA, GP_REFERENCE, iter_sampling=500)
