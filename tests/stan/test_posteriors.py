"""Posteriors that are known, by published reference draws or by quadrature, met within Monte Carlo error."""

from __future__ import annotations

import itertools
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


# Radon in houses by county (Gelman and Hill 2007, chapter 12): a simulated survey of the shape of Minnesota's.
RADON = """
data { int<lower=1> N; int<lower=1> J; array[N] int county; vector[N] basement; vector[N] y; }
parameters { real mu; real beta; real<lower=0> sigma_county; real<lower=0> sigma; vector[J] z; }
transformed parameters { vector[J] alpha = mu + sigma_county * z; }
model {
  mu ~ normal(0, 10);
  beta ~ normal(0, 10);
  sigma_county ~ normal(0, 1);
  sigma ~ normal(0, 1);
  z ~ std_normal();
  y ~ normal(alpha[county] + beta * basement, sigma);
}
"""


def radon_survey() -> dict[str, Any]:
    """919 houses in 85 counties, most of them in a few (seed 12): log radon, a sixth of houses without a basement."""
    rng = np.random.default_rng(12)
    share = rng.gamma(0.7, size=85)
    county = np.concatenate([np.arange(85), rng.choice(85, 919 - 85, p=share / share.sum())])
    basement = (rng.random(919) < 1 / 6).astype(float)
    y = rng.normal(1.5, 0.32, 85)[county] - 0.7 * basement + rng.normal(0, 0.73, 919)
    return {"N": 919, "J": 85, "county": county + 1, "basement": basement, "y": y}


def radon_reference(data: dict[str, Any], points: int = 41) -> dict[str, tuple[float, float]]:
    """Mean and mean square of the posterior: normal given both sds, which are summed over a grid of their logs."""
    y, county = data["y"], data["county"] - 1
    X = np.column_stack([np.ones(919), data["basement"], np.eye(85)[county]])
    grid = [np.linspace(*np.log(ends), points) for ends in ((0.05, 0.8), (0.6, 0.9))]
    log_mass, first, second = [], [], []
    for log_county, log_sigma in itertools.product(*grid):
        tau, sigma = np.exp([log_county, log_sigma])
        prior = 1 / np.concatenate([[100.0, 100.0], np.full(85, tau**2)])  # county effects about mu
        precision = X.T @ X / sigma**2 + np.diag(prior)
        covariance = np.linalg.inv(precision)
        mean = covariance @ (X.T @ y) / sigma**2
        evidence = 0.5 * (np.log(prior).sum() - np.linalg.slogdet(precision)[1] + mean @ precision @ mean)
        evidence -= 919 * log_sigma + 0.5 * y @ y / sigma**2
        log_mass.append(evidence - 0.5 * (tau**2 + sigma**2) + log_county + log_sigma)
        # mu, beta and the counties' levels mu + effect, then both sds, which the grid gives
        levels = np.concatenate([mean[:2], mean[0] + mean[2:], [tau, sigma]])
        spread = np.diag(covariance)[2:] + covariance[0, 0] + 2 * covariance[0, 2:]
        first.append(levels)
        second.append(levels**2 + np.concatenate([np.diag(covariance)[:2], spread, [0.0, 0.0]]))
    mass = np.exp(np.array(log_mass) - max(log_mass)).reshape(points, points)
    border = max(mass[edge].max() for edge in (0, -1, (slice(None), 0), (slice(None), -1)))
    assert border < 1e-5 * mass.max()
    weight = mass.ravel() / mass.sum()
    names = ["mu", "beta", *(f"alpha[{j + 1}]" for j in range(85)), "sigma_county", "sigma"]
    return dict(zip(names, zip(weight @ first, weight @ second, strict=True), strict=True))


def test_radon(compile_stan: Compile) -> None:
    """Means of all 89 within 4 Monte Carlo errors, sds within 5 %; basements 10 % lower in radon would be seen."""
    data = radon_survey()
    reference = radon_reference(data)
    fit = cmdstanpy.CmdStanModel(exe_file=str(compile_stan(RADON, "radon"))).sample(
        data=data, seed=20, show_progress=False, iter_warmup=700, iter_sampling=2500
    )
    summary = fit.summary(sig_figs=8).loc[list(reference)]
    mean, mean_square = np.array(list(reference.values())).T
    sd = np.sqrt(mean_square - mean**2)
    assert (np.abs(summary["Mean"] - mean) <= 4 * summary["MCSE"]).all()
    assert (np.abs(np.log(summary["StdDev"] / sd)) < 0.05).all()
    other, _ = radon_reference({**data, "y": data["y"] - 0.1 * data["basement"]})["beta"]
    assert abs(summary.loc["beta", "Mean"] - other) > 4 * summary.loc["beta", "MCSE"]
