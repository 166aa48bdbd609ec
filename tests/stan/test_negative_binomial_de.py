"""The compiled flagship against its NumPy twin, its prior against its simulator, and what its numbers mean."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from bayesexpr.data.counts import CountData
from bayesexpr.data.partitions import level_partitions
from bayesexpr.de import DESettings, fit_de
from bayesexpr.de_fit import DEFit
from bayesexpr.distributions import sum_to_zero_basis
from bayesexpr.models.de_layout import Layout, Whitening
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.stan.compiler import compile_program
from bayesexpr.stan.methods import log_prob, run_method
from bayesexpr.stan.program import render
from bayesexpr.stan.settings import SamplerSettings
from bayesexpr.stan.toolchain import Toolchain

pytestmark = pytest.mark.needs_stan

Float = NDArray[np.float64]
Build = Callable[[NegativeBinomialDE], Path]

POINTS = 20
AGREEMENT = 1e-8
"""Spread of Stan's log density minus NumPy's over the points, relative to the largest of them."""


@pytest.fixture(scope="module")
def build(toolchain: Toolchain) -> Build:
    """A function that compiles a model's program, through the cache."""
    return lambda model: compile_program(render(model.NAME, model.options), toolchain)


# log density


def two_groups(G: int = 12) -> dict[str, Any]:
    """Six samples in three batches, lengths and size factors, a gene of zeros and one of millions; seed 1."""
    rng = np.random.default_rng(1)
    count = rng.negative_binomial(3, 0.03, (6, G))
    count[:, 0], count[:, 1] = 0, 10**6 + 10**5 * np.arange(6)
    return {
        "count": count,
        "design": [[-0.5], [0.5]] * 3,
        "nuisance_design": np.repeat(sum_to_zero_basis(3), 2, axis=0),
        "nuisance_term": [0, 0],
        "log_size_factor": rng.normal(0, 0.2, 6),
        "effective_length": rng.uniform(300, 3000, (6, G)),
    }


def three_groups() -> dict[str, Any]:
    """The same counts in three groups of two, with the five components of three levels."""
    design = np.repeat(sum_to_zero_basis(3), 2, axis=0)
    return {
        "count": two_groups()["count"],
        "design": design,
        "component": level_partitions(["a", "b", "c"]).projectors,
    }


def natural_points(at: Layout, G: int, seed: int) -> tuple[Float, Float]:
    """Hyperparameters [point, H] and coordinates [point, G, P] about where counts are."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(0, 0.7, (POINTS, at.H)) + 4.0 * (np.arange(at.H) == 0)
    psi = rng.normal(0, 1, (POINTS, G, at.P)) + 4.0 * (np.arange(at.P) == 0)
    return theta, psi


def a_whitening(at: Layout, G: int, seed: int) -> Whitening:
    rng = np.random.default_rng(seed)
    return Whitening(
        theta_center=rng.normal(size=at.H),
        theta_scale=np.tril(rng.normal(0, 0.1, (at.H, at.H)), -1) + np.diag(rng.uniform(0.3, 1, at.H)),
        center=rng.normal(size=(G, at.P)),
        scale=rng.uniform(0.2, 2, (G, at.P)),
        slope=rng.normal(0, 0.3, (at.P, G, 3)),
        driver=rng.normal(0, 0.3, (at.P, 3, at.H)),
    )


def stan_log_density(
    executable: Path, model: NegativeBinomialDE, data: dict[str, Any], maps: Whitening, theta: Float, psi: Float
) -> Float:
    """Stan's log density of the whitened forms of natural points; the program reads matrices by columns."""
    whitened = [np.concatenate([maps.zeta(t), maps.z(p, t).ravel(order="F")]) for t, p in zip(theta, psi, strict=True)]
    return log_prob(executable, model.stan_data(data, whitening=maps), np.stack(whitened))[0]


def assert_same_up_to_a_constant(a: Float, b: Float) -> None:
    assert np.ptp(a - b) <= AGREEMENT * np.abs(b).max()


DEFAULT = {"effects": "spike_slab", "dispersion": "trend", "size_factors": "estimated"}
VARIANTS = [
    dict(zip(DEFAULT, values, strict=True))
    for values in itertools.product(("spike_slab", "student_t", "normal"), ("trend", "global"), ("estimated", "fixed"))
]
QUICK = [DEFAULT, {"effects": "normal", "dispersion": "global", "size_factors": "estimated"}]


@pytest.mark.parametrize(
    "options",
    [pytest.param(o, marks=[] if o in QUICK else pytest.mark.slow, id="-".join(o.values())) for o in VARIANTS],
)
def test_stan_and_numpy_have_the_same_density(build: Build, options: dict[str, str]) -> None:
    """The program without its kernel, Jacobians included, at 20 points; seed 2."""
    model = NegativeBinomialDE(options={**options, "density": "stan"})
    data = two_groups()
    full = model.complete(data)
    at = model.layout(full)
    theta, psi = natural_points(at, full["G"], 2)
    maps = Whitening.plain(at, full["G"], mu_alpha=4.0)
    stan = stan_log_density(build(model), model, data, maps, theta, psi)
    numpy = np.array([model.log_density({"theta": t, "psi": p}, full) for t, p in zip(theta, psi, strict=True)])
    assert_same_up_to_a_constant(stan, numpy)


def test_three_levels_have_the_same_density(build: Build) -> None:
    model, data = NegativeBinomialDE(options={"density": "stan"}), three_groups()
    full = model.complete(data)
    at = model.layout(full)
    assert at.C == 5
    theta, psi = natural_points(at, full["G"], 3)
    stan = stan_log_density(build(model), model, data, a_whitening(at, full["G"], 4), theta, psi)
    numpy = np.array([model.log_density({"theta": t, "psi": p}, full) for t, p in zip(theta, psi, strict=True)])
    assert_same_up_to_a_constant(stan, numpy)


def test_whitening_leaves_the_density_as_it_is(build: Build) -> None:
    """The default program, kernel and all, in two sets of coordinates at the same natural points."""
    model, data = NegativeBinomialDE(), two_groups()
    full = model.complete(data)
    at = model.layout(full)
    theta, psi = natural_points(at, full["G"], 5)
    plain = Whitening.plain(at, full["G"], mu_alpha=4.0)
    values = [
        stan_log_density(build(model), model, data, maps, theta, psi) for maps in (plain, a_whitening(at, full["G"], 6))
    ]
    assert_same_up_to_a_constant(*values)


def test_a_missing_jacobian_is_caught(build: Build) -> None:
    """Negative control: NumPy's density without the log Jacobian of one scale is not the same up to a constant."""
    model, data = NegativeBinomialDE(options={"density": "stan"}), two_groups()
    full = model.complete(data)
    at = model.layout(full)
    theta, psi = natural_points(at, full["G"], 7)
    maps = Whitening.plain(at, full["G"], mu_alpha=4.0)
    stan = stan_log_density(build(model), model, data, maps, theta, psi)
    numpy = np.array([model.log_density({"theta": t, "psi": p}, full) for t, p in zip(theta, psi, strict=True)])
    with pytest.raises(AssertionError):
        assert_same_up_to_a_constant(stan, numpy - theta[:, at.tau.start])
    with pytest.raises(AssertionError):
        assert_same_up_to_a_constant(stan, numpy * (1 + 1e-6))


# prior


def test_without_the_likelihood_the_posterior_is_the_prior(build: Build) -> None:
    """Five genes, 4 chains x 1,500 draws, seed 8, against 4,000 draws of the simulator.

    The share of Stan's draws below each decile of the simulator is within 0.06 of it: four standard errors at an
    effective sample size of 1,100.
    """
    model, data = NegativeBinomialDE(), {**two_groups(5), "effective_length": None}
    data = {k: v for k, v in data.items() if v is not None}
    settings = SamplerSettings(warmup=500, draws=1500, seed=8, cores=2)
    drawn = run_method(build(model), "nuts", model.stan_data(data, prior_only=True), settings).variables
    found = model.posterior({name: drawn[name] for name in ("zeta", "z")}, data)
    rng = np.random.default_rng(9)
    full = model.complete(data)
    prior = [model.draw_hyper(full, rng) for _ in range(4000)]
    deciles = np.linspace(0.1, 0.9, 9)

    def assert_same(name: str, stan: Any, simulated: Any) -> None:
        cuts = np.quantile(simulated, deciles)
        shares = (np.ravel(stan)[:, None] < cuts).mean(axis=0)
        assert np.abs(shares - deciles).max() < 0.06, (name, shares)

    for name in ("mu_alpha", "sigma_alpha", "a0", "a1", "sigma_phi", "s"):
        assert_same(name, found[name], [p[name] for p in prior])
    for name, place in (("m", 0), ("weight", 1), ("tau", 0), ("log_f", 2)):
        assert_same(name, found[name][..., place], [p[name][place] for p in prior])
    given = {k: v for k, v in data.items() if k != "count"} | {"genes": 5}
    genes = [model.simulate(given, rng)[0] for _ in range(2000)]
    for name in ("alpha", "log_phi"):
        assert_same(name, found[name][..., 3], [p[name][3] for p in genes])
    for name in ("beta", "gamma"):
        assert_same(name, found[name][..., 3, 0], [p[name][3, 0] for p in genes])


# what the numbers mean

GENES, UP, DOWN = 60, slice(0, 10), slice(10, 20)
SETTINGS = DESettings(chains=2, warmup=150, draws=600, seed=1, cores=2)


def simulate_counts(log2_change: Float, group: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Counts [S, G] of genes with 20,000 reads and dispersion 0.002; `log2_change` is [level, gene]."""
    rng = np.random.default_rng(seed)
    mean = 20_000 * 2.0 ** log2_change[group]
    return rng.negative_binomial(500.0, 500.0 / (500.0 + mean))


def study(counts: NDArray[np.int64], labels: list[str], levels: list[str]) -> CountData:
    samples = tuple(f"s{k}" for k in range(len(labels)))
    table = pd.DataFrame({"group": pd.Categorical(labels, levels)}, index=pd.Index(samples, name="sample"))
    return CountData(counts, tuple(f"g{k:02d}" for k in range(counts.shape[1])), samples, table)


def four_fold() -> NDArray[np.int64]:
    """Three samples against six; ten genes go up four-fold, ten go down four-fold; seed 21."""
    change = np.zeros((2, GENES))
    change[1, UP], change[1, DOWN] = 2.0, -2.0
    return simulate_counts(change, np.repeat([0, 1], [3, 6]), 21)


LABELS = ["untreated"] * 3 + ["treated"] * 6


@pytest.fixture(scope="module")
def base(toolchain: Toolchain) -> DEFit:
    return fit_de(study(four_fold(), LABELS, ["untreated", "treated"]), "~ group", settings=SETTINGS)


def estimates(fit: DEFit, level: str = "treated", reference: str = "untreated") -> Float:
    return fit.contrast("group", level, reference).table["log2FoldChange"].to_numpy()


def assert_four_fold(log2_change: Float) -> None:
    """Mean over ten genes within 0.05 of the truth; its standard error is 0.014, from dispersion 0.002 and 3 + 6."""
    assert abs(log2_change[UP].mean() - 2.0) < 0.05
    assert abs(log2_change[DOWN].mean() + 2.0) < 0.05
    assert np.abs(log2_change[20:]).max() < 0.15


def test_a_four_fold_change_is_reported_as_two(base: DEFit) -> None:
    found = estimates(base)
    assert_four_fold(found)
    table = base.contrast("group", "treated", "untreated").table
    assert (table["lfdr"][:20] < 0.01).all()
    assert (table["lfsr"] > 0).all()
    with pytest.raises(AssertionError):
        assert_four_fold(found / 2)  # negative control: the coefficient of a -1, +1 coding, as published


def test_the_levels_of_a_contrast_can_be_exchanged(base: DEFit) -> None:
    assert np.allclose(estimates(base, "untreated", "treated"), -estimates(base), atol=1e-9)


def test_exchanged_labels_change_the_sign(base: DEFit) -> None:
    """Another fit: posterior means agree within 0.03, five Monte Carlo errors of 1,200 draws with sd 0.1 or less."""
    other = {"untreated": "treated", "treated": "untreated"}
    swapped = study(four_fold(), [other[label] for label in LABELS], ["untreated", "treated"])
    assert np.allclose(estimates(fit_de(swapped, "~ group", settings=SETTINGS)), -estimates(base), atol=0.03)


def test_a_sample_read_twice_as_deep_changes_nothing(base: DEFit) -> None:
    counts = four_fold().copy()
    counts[1] *= 2
    factors = np.exp(base.posterior["constant_data"]["log_size_factor"].to_numpy())
    factors[1] *= 2
    data = study(counts, LABELS, ["untreated", "treated"])
    deeper = fit_de(data, "~ group", size_factors=factors, settings=SETTINGS)
    assert np.allclose(estimates(deeper), estimates(base), atol=0.03)
    assert np.isclose(
        deeper.size_factors[1] / deeper.size_factors[0] / 2, base.size_factors[1] / base.size_factors[0], rtol=0.02
    )


@pytest.fixture(scope="module")
def three_level_fits(toolchain: Toolchain) -> tuple[DEFit, DEFit]:
    """Three levels, a, b, c, three samples each: ten genes differ in c only, ten in all; two orders; seed 22."""
    change = np.zeros((3, GENES))
    change[2, UP] = 2.0
    change[0, DOWN], change[1, DOWN] = -1.0, 1.0
    counts = simulate_counts(change, np.repeat([0, 1, 2], 3), 22)
    labels = [label for label in "abc" for _ in range(3)]
    first, second = (
        fit_de(study(counts, labels, levels), "~ group", settings=SETTINGS)
        for levels in (["a", "b", "c"], ["c", "a", "b"])
    )
    return first, second


PAIRS = [("b", "a"), ("c", "a"), ("c", "b")]


@pytest.mark.parametrize("pair", PAIRS)
def test_the_order_of_levels_does_not_matter(three_level_fits: tuple[DEFit, DEFit], pair: tuple[str, str]) -> None:
    first, second = three_level_fits
    assert np.allclose(estimates(first, *pair), estimates(second, *pair), atol=0.04)
    lfdr = [f.contrast("group", *pair).table["lfdr"].to_numpy() for f in three_level_fits]
    assert np.abs(lfdr[0] - lfdr[1]).max() < 0.15


def test_three_levels_have_their_true_differences(three_level_fits: tuple[DEFit, DEFit]) -> None:
    fit = three_level_fits[0]
    ba, ca, cb = (estimates(fit, *pair) for pair in PAIRS)
    assert np.allclose(ba + cb, ca, atol=1e-6)
    for found, up, down in ((ba, 0.0, 2.0), (ca, 2.0, 1.0), (cb, 2.0, -1.0)):
        assert abs(found[UP].mean() - up) < 0.05
        assert abs(found[DOWN].mean() - down) < 0.05
    same = fit.contrast("group", "b", "a").table["lfdr"].to_numpy()
    assert (same[DOWN] < 0.01).all()
    assert np.median(same[UP]) > 0.8  # they differ in c, and that is no evidence of a change from a to b
    assert fit.posterior["posterior"]["component"].to_numpy().tolist()[0] == "null"
    assert fit.posterior["posterior"].sizes["component"] == 5
