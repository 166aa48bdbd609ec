"""negative_binomial_de without Stan: its layout and maps, its checks, its simulator and its log density."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from bayesexpr.distributions import nb2_logpmf, sum_to_zero_basis
from bayesexpr.errors import InputError, OptionError
from bayesexpr.models.base import Complete
from bayesexpr.models.de_layout import Layout, Whitening
from bayesexpr.models.negative_binomial_de import CHAPTER_OPTIONS, SLAB_NU, NegativeBinomialDE
from bayesexpr.models.priors import Dirichlet, Exponential, LogNormal, Normal
from bayesexpr.stan.program import render

STRUCTURES = [
    {"effects": e, "dispersion": d, "size_factors": s}
    for e, d, s in itertools.product(("spike_slab", "student_t", "normal"), ("trend", "global"), ("estimated", "fixed"))
]
BATCH = [[-0.5, 0.0], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.0], [-0.5, -0.5], [0.5, 0.5]]


def study(G: int = 7, seed: int = 1) -> dict[str, Any]:
    """Six samples, a tested column, two other terms (one of one column, one of two), lengths and size factors."""
    rng = np.random.default_rng(seed)
    return {
        "count": rng.negative_binomial(3, 0.05, (6, G)),
        "design": [[-0.5]] * 3 + [[0.5]] * 3,
        "nuisance_design": np.column_stack([np.tile([-0.5, 0.5], 3), BATCH]),
        "nuisance_term": [0, 1, 1],
        "log_size_factor": rng.normal(0, 0.2, 6),
        "effective_length": rng.uniform(200, 3000, (6, G)),
    }


def point(model: NegativeBinomialDE, data: dict[str, Any], seed: int) -> tuple[Layout, Any, Any]:
    rng = np.random.default_rng(seed)
    full = model.complete(data)
    at = model.layout(full)
    theta = rng.normal(0, 0.5, at.H)
    theta[0] = 4 + theta[0]
    psi = rng.normal(0, 1, (full["G"], at.P))
    psi[:, 0] += 4
    return at, theta, psi


# layout and whitening


@pytest.mark.parametrize("options", STRUCTURES)
def test_hyperparameters_go_to_their_scales_and_back(options: dict[str, str]) -> None:
    model = NegativeBinomialDE(options=options)
    data = study()
    full = model.complete(data)
    at, theta, psi = point(model, data, 2)
    hyper = at.hyper(theta, full["log_size_factor"])
    assert np.allclose(at.theta(hyper, full["log_size_factor"]), theta, atol=1e-12)
    assert len(at.names()) == len(set(at.names())) == at.H
    assert psi.shape[1] == at.P == at.u.stop
    places = [0, 1, *range(at.H)[at.dispersion], *range(at.H)[at.m], at.s, *range(at.H)[at.weight]]
    places += [*range(at.H)[at.tau], *range(at.H)[at.v]]
    assert places == list(range(at.H))


def test_leading_axes_are_kept() -> None:
    model, data = NegativeBinomialDE(), study()
    at, theta, psi = point(model, data, 3)
    full = model.complete(data)
    many = np.stack([[theta, theta + 0.1], [theta - 0.1, theta * 1.1]])
    hyper = at.hyper(many, full["log_size_factor"])
    each = [at.hyper(t, full["log_size_factor"]) for t in many.reshape(4, -1)]
    for name, values in hyper.items():
        assert np.allclose(values.reshape(4, *values.shape[2:]), [h[name] for h in each])
    genes = np.broadcast_to(psi, (2, 2, *psi.shape))
    for function in (at.log_phi, at.effect):
        assert np.allclose(function(genes, hyper)[1, 0], function(psi, each[2]))
    other = at.other_effects(genes, hyper, full["nuisance_term"])
    assert np.allclose(other[0, 1], at.other_effects(psi, each[1], full["nuisance_term"]))


def test_size_factors_keep_their_geometric_mean() -> None:
    at, theta, _ = point(NegativeBinomialDE(), study(), 4)
    robust = np.log([0.5, 1.0, 2.0, 1.0, 1.5, 0.7])
    assert math.isclose(at.hyper(theta, robust)["log_f"].sum(), robust.sum(), abs_tol=1e-12)


def random_whitening(at: Layout, G: int, rng: np.random.Generator) -> Whitening:
    scale = np.tril(rng.normal(0, 0.1, (at.H, at.H)), -1) + np.diag(rng.uniform(0.3, 1, at.H))
    return Whitening(
        theta_center=rng.normal(size=at.H),
        theta_scale=scale,
        center=rng.normal(size=(G, at.P)),
        scale=rng.uniform(0.2, 2, (G, at.P)),
        slope=rng.normal(size=(at.P, G, 3)),
        driver=rng.normal(size=(at.P, 3, at.H)),
    )


def test_whitening_is_inverted_exactly() -> None:
    rng = np.random.default_rng(5)
    at, theta, psi = point(NegativeBinomialDE(), study(), 5)
    maps = random_whitening(at, len(psi), rng)
    assert np.allclose(maps.theta(maps.zeta(theta)), theta)
    assert np.allclose(maps.psi(maps.z(psi, theta), theta), psi)
    some = slice(2, 5)
    assert np.allclose(maps.psi(maps.z(psi, theta)[some], theta, some), psi[some])
    draws = np.stack([theta, theta + 1])
    assert np.allclose(maps.psi(np.stack([psi, psi]), draws)[1], maps.psi(psi, theta + 1))
    follows = np.abs(maps.psi(psi, theta + 1) - maps.psi(psi, theta)).max()
    assert follows > 0.1  # a gene's coordinates do move with the hyperparameters


def test_the_plain_maps_only_move_the_intercepts() -> None:
    at, theta, psi = point(NegativeBinomialDE(), study(), 6)
    maps = Whitening.plain(at, len(psi), mu_alpha=4.0)
    first = np.arange(at.H) == 0
    assert np.array_equal(maps.theta(theta), theta + 4.0 * first)
    assert np.array_equal(maps.psi(psi, theta), psi + 4.0 * (np.arange(at.P) == 0))


# data


def test_defaults_of_the_data() -> None:
    full = NegativeBinomialDE().complete({"count": [[1, 2], [3, 4]], "design": [[0.0], [1.0]]})
    assert (full["S"], full["G"], full["K"], full["R"], full["B"], full["C"]) == (2, 2, 1, 0, 0, 2)
    assert full["component"].tolist() == [[[0.0]], [[1.0]]]
    assert not full["log_length"].any()
    assert isinstance(full, Complete)
    assert NegativeBinomialDE().complete(full) is full
    continuous = NegativeBinomialDE(options={"effects": "student_t"}).complete(study())
    assert continuous["component"].tolist() == [[[1.0]]]


def test_lengths_are_centred_within_a_gene() -> None:
    """So that exp(alpha) is a count: a length that all samples share says nothing."""
    data = study()
    full = NegativeBinomialDE().complete(data)
    assert np.allclose(full["log_length"].mean(axis=0), 0)
    expected = np.log(data["effective_length"])
    assert np.allclose(full["log_length"] - full["log_length"][0], expected - expected[0])
    shared = NegativeBinomialDE().complete({**data, "effective_length": np.arange(1.0, 8.0)})
    assert np.allclose(shared["log_length"], 0)


BAD = [
    ({"count": [[1.5] * 7] * 6}, r"count\[0\]\[0\] is 1.5 \(42 such entries\)"),
    ({"count": [[-1] * 7] * 6}, r"count\[0\]\[0\] is -1"),
    ({"count": [[float("nan")] * 7] * 6}, r"count\[0\]\[0\] is nan"),
    ({"count": [[float("inf")] * 7] * 6}, r"count\[0\]\[0\] is inf"),
    ({"count": [[2**31] * 7] * 6}, r"count\[0\]\[0\] is 2147483648"),
    ({"count": [["x"] * 7] * 6}, "which is no number"),
    ({"count": [[1, 2], [3]]}, "no full table"),
    ({"count": [1, 2, 3]}, r"count is \[S\]\[G\]"),
    ({"count": np.zeros((6, 0), dtype=int)}, "no axis empty"),
    ({"design": [[1.0]] * 5}, r"design is \[6\]\[K\]; it was given \[5\]\[1\]"),
    ({"design": [[float("nan")]] * 6}, r"design\[0\]\[0\] is nan"),
    ({"nuisance_design": [[1.0]] * 5}, r"nuisance_design is \[6\]\[R\]"),
    ({"nuisance_design": [[float("inf")] * 3] * 6}, r"nuisance_design\[0\]\[0\] is inf"),
    ({"nuisance_term": [0, 1]}, r"nuisance_term is \[3\]"),
    ({"nuisance_term": [0, 1, 3]}, r"nuisance_term\[2\] is 3"),
    ({"component": [[[0.0]], [[1.0, 2.0]]]}, "no full table"),
    ({"component": [[[0.0]]]}, "at least two components"),
    ({"component": [[[0.0, 1.0]]]}, r"component is \[C\]\[1\]\[1\]"),
    ({"log_size_factor": [0.0] * 5}, r"log_size_factor is \[6\]"),
    ({"log_size_factor": [float("inf")] * 6}, r"log_size_factor\[0\] is inf"),
    ({"effective_length": [1.0] * 6}, r"effective_length is \[7\]"),
    ({"effective_length": [0.0] + [1.0] * 6}, r"effective_length\[0\] is 0"),
    ({"effective_length": [[1.0] * 7] * 5}, r"effective_length is \[6\]\[7\]"),
    ({"effective_length": "long"}, "effective_length is 'long'"),
    ({"counts": [[1]]}, "does not know data 'counts'"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_data(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        NegativeBinomialDE().complete({**study(), **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["count", "design"])
def test_what_is_needed(key: str) -> None:
    with pytest.raises(InputError, match=f"needs {key}"):
        NegativeBinomialDE().complete({k: v for k, v in study().items() if k != key})


# options and priors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"options": {"spike": "yes"}}, "no option 'spike'"),
        ({"options": {"effects": "laplace"}}, "one of spike_slab, student_t, normal"),
        ({"priors": {"b": Normal(0, 1)}}, "no prior 'b'"),
        ({"priors": {"mu_alpha": Exponential(1.0)}}, "mu_alpha of negative_binomial_de is a normal"),
        ({"priors": {"sigma_phi": LogNormal(-0.5, 0.35)}}, "needs its bound"),
        ({"priors": {"sigma_alpha": LogNormal(0.7, 0.15, 3.0)}}, "takes no bound"),
    ],
)
def test_wrong_choices(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        NegativeBinomialDE(**arguments)


@pytest.mark.parametrize("options", [{}, {"dispersion": "global"}, CHAPTER_OPTIONS])
def test_every_structure_has_the_kernel(options: dict[str, str]) -> None:
    assert NegativeBinomialDE(options=options).options["density"] == "kernel"


@pytest.mark.parametrize("options", STRUCTURES)
def test_the_data_block_is_filled(options: dict[str, str]) -> None:
    """Every declaration of the rendered program has its entry, of the size that it declares."""
    model = NegativeBinomialDE(options=options)
    given = model.stan_data(study(), prior_only=True)
    code = render(model.NAME, model.options).code
    block = code[code.index("\ndata {") : code.index("\n}", code.index("\ndata {"))]
    lines = [line.split("//")[0].strip().rstrip(";") for line in block.splitlines()[2:]]
    declared = [line.split()[-1] for line in lines if line]
    assert set(declared) <= set(given)
    assert given["prior_only"] == 1
    assert given["nuisance_term"].tolist() == [1, 2, 2]
    assert given["H"] == model.layout(model.complete(study())).H == given["theta_scale"].shape[0]


# simulator


def test_moments_of_the_simulator() -> None:
    """20,000 genes, seed 11; a mean of n values within 5 standard errors, which a correct one misses once in 1e6."""
    G = 20_000
    hyper = {
        "mu_alpha": np.array(4.0),
        "sigma_alpha": np.array(1.0),
        "a0": np.array(0.05),
        "a1": np.array(1.0),
        "sigma_phi": np.array(0.5),
        "m": np.array([0.4]),
        "s": np.array(0.5),
        "weight": np.array([0.8, 0.2]),
        "tau": np.array([0.3]),
        "log_f": np.log([0.5, 2.0, 1.0, 1.0]),
    }
    given = {
        "genes": G,
        "design": [[0.5], [-0.5], [0.5], [-0.5]],
        "nuisance_design": [[1.0], [1.0], [-1.0], [-1.0]],
    }
    p, data = NegativeBinomialDE().simulate(given, np.random.default_rng(11), hyper)
    assert data["count"].shape == (4, G)

    def near(values: Any, mean: float) -> bool:
        return abs(np.mean(values) - mean) < 5 * np.std(values) / math.sqrt(len(values))

    assert near(p["component"] == 1, 0.2)
    assert near(p["beta"][:, 0], 0.4)
    assert near(p["d"][:, 0] ** 2 < stats.t(SLAB_NU).ppf(0.75) ** 2, 0.5)
    assert near(p["gamma"][:, 0] ** 2, 0.09)
    assert near(p["log_phi"] + np.log(0.05 + np.exp(-p["alpha"])), 0.0)
    change = np.where(p["component"] == 1, p["beta"][:, 0], 0.0)
    eta = p["alpha"] + np.array([[0.5], [-0.5], [0.5], [-0.5]]) * change + hyper["log_f"][:, None]
    eta = eta + np.array([[1.0], [1.0], [-1.0], [-1.0]]) * p["gamma"][:, 0]
    mu, phi = np.exp(eta), np.exp(p["log_phi"])
    deviation = (data["count"] - mu) / np.sqrt(mu + mu**2 / phi)
    for row in deviation:
        assert near(row, 0.0)
        assert near(np.minimum(row**2, 100), 1.0)


def test_partitions_keep_levels_equal() -> None:
    """Three levels, the component in which the first two are equal: their counts have the same mean in every gene."""
    basis = sum_to_zero_basis(3)
    design = np.repeat(basis, 200, axis=0)
    block = np.array([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1.0]])
    component = np.stack([np.zeros((2, 2)), basis.T @ block @ basis])
    model = NegativeBinomialDE()
    given = {"genes": 40, "design": design, "component": component}
    rng = np.random.default_rng(12)
    full = model.complete({"count": np.ones((600, 40), dtype=int), "design": design, "component": component})
    hyper = model.draw_hyper(full, rng) | {"weight": np.array([0.0, 1.0]), "log_f": np.zeros(600)}
    p, _ = model.simulate(given, rng, hyper)
    change = np.einsum("sk,gk->sg", full["component_design"][1], p["beta"])
    assert np.allclose(change[0], change[250])
    assert not np.allclose(change[0], change[450])


@pytest.mark.parametrize("options", STRUCTURES)
def test_every_structure_simulates(options: dict[str, str]) -> None:
    model = NegativeBinomialDE(options=options)
    given = {k: v for k, v in study().items() if k != "count"} | {"genes": 7}
    p, data = model.simulate(given, np.random.default_rng(13))
    full = model.complete(data)
    at = model.layout(full)
    theta = at.theta(p, full["log_size_factor"])
    columns = [p["alpha"][:, None], *([p["e"][:, None]] if at.trend else []), p["d"], p["u"]]
    psi = np.concatenate(columns, axis=1)
    hyper = at.hyper(theta, full["log_size_factor"])
    assert np.allclose(at.effect(psi, hyper), p["beta"])
    assert np.allclose(at.log_phi(psi, hyper), p["log_phi"])
    assert np.allclose(at.other_effects(psi, hyper, full["nuisance_term"]), p["gamma"])
    assert np.isfinite(model.log_density({"theta": theta, "psi": psi}, data))


def test_the_default_scenario_simulates() -> None:
    _, data = NegativeBinomialDE().simulate(NegativeBinomialDE.SCENARIO, np.random.default_rng(14))
    assert data["count"].shape == (6, 50)


# log density


def by_scipy(model: NegativeBinomialDE, at: Layout, theta: Any, psi: Any, full: Any) -> float:
    """The same joint density, term by term from SciPy's distributions, gene by gene and sample by sample."""
    o, pr = model.options, model.prior
    lp = stats.norm.logpdf(theta[0], pr("mu_alpha").mean, pr("mu_alpha").sd)
    lp += stats.norm.logpdf(theta[1], pr("sigma_alpha").log_mean, pr("sigma_alpha").log_sd)
    i = 2
    if o["dispersion"] == "trend":
        for name in ("a0", "a1"):
            lp += stats.norm.logpdf(theta[i], pr(name).log_mean, pr(name).log_sd)
            i += 1
        bound, x = pr("sigma_phi").upper, pr("sigma_phi").upper / (1 + math.exp(-theta[i]))
        density = stats.lognorm(pr("sigma_phi").log_sd, scale=math.exp(pr("sigma_phi").log_mean))
        lp += density.logpdf(x) - density.logcdf(bound) + math.log(x * (1 - x / bound))
        i += 1
    else:
        lp += stats.expon.logpdf(math.exp(theta[i]), scale=1 / pr("dispersion").rate) + theta[i]
        i += 1
    m = np.zeros(full["K"])
    if o["effects"] == "spike_slab":
        m = theta[i : i + full["K"]]
        lp += stats.norm.logpdf(m, 0, pr("m").sd).sum()
        i += full["K"]
    s = math.exp(theta[i])
    if o["effects"] == "normal":
        lp += stats.halfnorm.logpdf(s, scale=pr("s_normal").sd) + theta[i]
    else:
        lp += stats.norm.logpdf(theta[i], pr("s").log_mean, pr("s").log_sd)
    i += 1
    weight = special.softmax(np.append(0.0, theta[i : i + full["C"] - 1]))
    if o["effects"] == "spike_slab":
        lp += stats.dirichlet.logpdf(weight, [3.0] + [1.0] * (full["C"] - 1)) + np.log(weight).sum()
    i += full["C"] - 1
    tau = np.exp(theta[i : i + full["B"]])
    lp += (stats.halfnorm.logpdf(tau, scale=pr("tau").sd) + np.log(tau)).sum()
    i += full["B"]
    log_f = full["log_size_factor"].copy()
    if o["size_factors"] == "estimated":
        lp += stats.norm.logpdf(theta[i:], 0, pr("size_factors").sd).sum()
        log_f += sum_to_zero_basis(full["S"]) @ theta[i:]
    for g in range(full["G"]):
        alpha, rest = psi[g, 0], list(psi[g, 1:])
        lp += stats.norm.logpdf(alpha, theta[0], math.exp(theta[1]))
        if o["dispersion"] == "trend":
            e = rest.pop(0)
            lp += stats.norm.logpdf(e)
            log_phi = x * e - math.log(math.exp(theta[2]) + math.exp(theta[3] - alpha))
        else:
            log_phi = -theta[2]
        d, u = np.array(rest[: full["K"]]), np.array(rest[full["K"] :])
        slab = stats.multivariate_t(np.zeros(full["K"]), np.eye(full["K"]), df=SLAB_NU)
        lp += stats.norm.logpdf(d).sum() if o["effects"] == "normal" else slab.logpdf(d)
        lp += stats.norm.logpdf(u).sum()
        b, gamma = m + s * d, tau[full["nuisance_term"]] * u
        each = []
        for c in range(full["C"]):
            eta = alpha + log_f + full["log_length"][:, g] + full["nuisance_design"] @ gamma
            mu, phi = np.exp(eta + full["design"] @ full["component"][c] @ b), math.exp(log_phi)
            each.append(np.log(weight[c]) + stats.nbinom.logpmf(full["count"][:, g], phi, phi / (phi + mu)).sum())
        lp += special.logsumexp(each)
    return float(lp)


@pytest.mark.parametrize("options", STRUCTURES)
def test_the_log_density_is_that_of_scipy(options: dict[str, str]) -> None:
    model, data = NegativeBinomialDE(options=options), study()
    full = model.complete(data)
    for seed in range(5):
        at, theta, psi = point(model, data, 20 + seed)
        value = model.log_density({"theta": theta, "psi": psi}, full)
        expected = by_scipy(model, at, theta, psi, full)
        assert math.isclose(value, expected, rel_tol=1e-10)


def test_three_levels_have_a_component_for_every_partition() -> None:
    basis = sum_to_zero_basis(3)
    blocks = [np.ones((3, 3)) / 3, np.eye(3)]
    for one in range(3):
        rest = np.arange(3) != one
        blocks.insert(1, np.outer(rest, rest) / 2 + np.outer(~rest, ~rest))
    component = np.stack([basis.T @ block @ basis for block in blocks])
    data = {**study(), "design": np.repeat(basis, 2, axis=0), "component": component}
    model = NegativeBinomialDE()
    full = model.complete(data)
    at, theta, psi = point(model, data, 30)
    assert at.C == 5
    value = model.log_density({"theta": theta, "psi": psi}, full)
    assert math.isclose(value, by_scipy(model, at, theta, psi, full), rel_tol=1e-10)
    other = model.complete({**data, "component": component[::-1]})  # negative control: another order
    assert abs(model.log_density({"theta": theta, "psi": psi}, other) - value) > 0.1


def test_a_prior_that_is_given_is_used() -> None:
    data = study()
    changed = NegativeBinomialDE(priors={"weight": Dirichlet(30.0, 1.0), "mu_alpha": Normal(8.0, 0.1)})
    at, theta, psi = point(changed, data, 31)
    full = changed.complete(data)
    here, there = ({"theta": theta, "psi": psi}, full), NegativeBinomialDE()
    difference = changed.log_density(*here) - there.log_density(*here)
    weight = at.hyper(theta, full["log_size_factor"])["weight"]
    expected = stats.norm.logpdf(theta[0], 8, 0.1) - stats.norm.logpdf(theta[0], 4, 0.5)
    expected += stats.dirichlet.logpdf(weight, [30, 1]) - stats.dirichlet.logpdf(weight, [3, 1])
    assert math.isclose(difference, expected, rel_tol=1e-9)
    assert changed.stan_data(data)["mu_alpha_mean"] == 8.0
    assert changed.stan_data(data)["weight_concentration"].tolist() == [30.0, 1.0]


def test_the_likelihood_of_a_count_is_that_given_the_others_of_its_gene() -> None:
    """Whole gene minus the gene without that sample, by the log density of studies that lack it."""
    model, data = NegativeBinomialDE(), study()
    p, _ = model.simulate({k: v for k, v in data.items() if k != "count"} | {"genes": 7}, np.random.default_rng(32))
    found = model.log_lik(p, data)
    full = model.complete(data)
    assert found.shape == (6, 7)

    def gene(g: int, samples: Any) -> float:
        eta = p["alpha"][g] + p["log_f"] + full["log_length"][:, g] + full["nuisance_design"] @ p["gamma"][g]
        phi, each = math.exp(p["log_phi"][g]), []
        for weight, design in zip(p["weight"], full["component_design"], strict=True):
            mu = np.exp(eta + design @ p["beta"][g])
            mass = stats.nbinom.logpmf(full["count"][:, g], phi, phi / (phi + mu))
            each.append(math.log(weight) + mass[samples].sum())
        return float(special.logsumexp(each))

    everyone = np.arange(6)
    for s, g in itertools.product(range(6), range(7)):
        assert math.isclose(found[s, g], gene(g, everyone) - gene(g, everyone != s), rel_tol=1e-8, abs_tol=1e-8)
    single = NegativeBinomialDE(options={"effects": "student_t"})  # one component: counts are independent
    alone = single.log_lik({k: v for k, v in p.items() if k != "weight"}, data)
    eta = p["alpha"] + p["log_f"][:, None] + full["log_length"] + full["design"] @ p["beta"].T
    mu, phi = np.exp(eta + full["nuisance_design"] @ p["gamma"].T), np.exp(p["log_phi"])
    assert np.allclose(alone, stats.nbinom.logpmf(full["count"], phi, phi / (phi + mu)), rtol=1e-8)


def test_replicates_follow_the_component_of_their_gene() -> None:
    """20,000 replicates (seed 1): means are those of the components, weighed by what the gene's counts say of them."""
    model, rng = NegativeBinomialDE(), np.random.default_rng(1)
    data = {"count": [[20, 20, 3], [30, 90, 4]], "design": [[-0.5], [0.5]], "effective_length": [500.0, 800.0, 900.0]}
    full = model.complete(data)
    p = {
        "alpha": np.log([25.0, 40.0, 3.0]),
        "log_phi": np.log([8.0, 9.0, 2.0]),
        "beta": np.array([[0.9], [1.2], [-0.5]]),
        "gamma": np.zeros((3, 0)),
        "log_f": np.array([0.1, -0.1]),
        "weight": np.array([0.6, 0.4]),
    }
    base = p["alpha"] + p["log_f"][:, None]
    means, mass = [], []
    for k, weight in enumerate(p["weight"]):
        log_mu = base + k * np.array([[-0.5], [0.5]]) * p["beta"][:, 0]
        means.append(np.exp(log_mu))
        mass.append(weight * np.exp(nb2_logpmf(np.array(data["count"]), means[-1], np.exp(p["log_phi"])).sum(axis=0)))
    share = mass[1] / (mass[0] + mass[1])
    assert np.ptp(share) > 0.2  # the genes differ in what their counts say
    expected = (1 - share) * means[0] + share * means[1]
    drawn = np.stack([model.replicate(p, full, rng) for _ in range(20_000)])
    np.testing.assert_allclose(drawn.mean(axis=0), expected, atol=5 * (drawn.var(axis=0) / 20_000).max() ** 0.5)
    assert model.conditions(data) == {**{k: data[k] for k in ("design", "effective_length")}, "genes": 3}
    np.testing.assert_array_equal(model.log_lik(p, full), model.log_lik(p, data))
