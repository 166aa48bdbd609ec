"""The approximations that start the sampler: modes, integrals, hyperparameters and whitening."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bayesexpr.distributions import spherical_student_t_logpdf
from bayesexpr.empirical_bayes import laplace
from bayesexpr.empirical_bayes.hyper import fit_hyper, follow, information_matrix, marginal, scores
from bayesexpr.empirical_bayes.laplace import Study, gene_posterior, integrate_dispersion, start
from bayesexpr.empirical_bayes.whitening import NODES, WarmStart, starting_points, warm_start
from bayesexpr.models.negative_binomial_de import SLAB_NU, NegativeBinomialDE

Float = NDArray[np.float64]


def simulated(model: NegativeBinomialDE, G: int, seed: int, S: int = 8) -> tuple[Any, Any]:
    """Two groups and two batches; hyperparameters at sensible values; the completed data and the truth."""
    half = S // 2
    given = {
        "genes": G,
        "design": [[-0.5]] * half + [[0.5]] * half,
        "nuisance_design": [[-0.5], [0.5]] * half,
    }
    hyper = {
        "mu_alpha": np.array(4.5),
        "sigma_alpha": np.array(1.8),
        "a0": np.array(0.05),
        "a1": np.array(2.0),
        "sigma_phi": np.array(0.5),
        "dispersion": np.array(0.15),
        "m": np.array([0.2]),
        "s": np.array(0.7),
        "weight": np.array([0.7, 0.3]),
        "tau": np.array([0.4]),
        "log_f": np.linspace(-0.3, 0.3, S),
    }
    if model.options["effects"] != "spike_slab":
        hyper = {k: v for k, v in hyper.items() if k not in ("m", "weight")}
    p, data = model.simulate(given, np.random.default_rng(seed), hyper)
    return model.complete({**data, "log_size_factor": hyper["log_f"]}), p


def study_of(model: NegativeBinomialDE, full: Any) -> Study:
    nu = None if model.options["effects"] == "normal" else SLAB_NU
    return Study(model.layout(full), full, nu)


STRUCTURES = [
    {"effects": e, "dispersion": d}
    for e, d in itertools.product(("spike_slab", "student_t", "normal"), ("trend", "global"))
]


def at_truth(model: NegativeBinomialDE, G: int = 12, seed: int = 1) -> tuple[Study, dict[str, Float]]:
    full, p = simulated(model, G, seed)
    study = study_of(model, full)
    theta = study.at.theta(p, full["log_size_factor"])
    return study, study.at.hyper(theta, full["log_size_factor"])


@pytest.mark.parametrize("options", STRUCTURES)
def test_gradients_are_those_of_the_density(options: dict[str, str]) -> None:
    study, hyper = at_truth(NegativeBinomialDE(options=options))
    rng = np.random.default_rng(2)
    psi = start(study) + rng.normal(0, 0.3, (12, study.at.P))
    for c in range(study.at.C):
        _, gradient, precision = laplace._terms(study, hyper, c, psi)
        for p in range(study.at.P):
            step = 1e-5 * (np.arange(study.at.P) == p)
            up, down = (laplace._log_joint(study, hyper, c, psi + sign * step) for sign in (1, -1))
            assert np.allclose(gradient[:, p], (up - down) / 2e-5, rtol=1e-5, atol=1e-5)
        assert (np.linalg.eigvalsh(precision) > 0).all()


def test_the_densities_sum_to_that_of_the_model() -> None:
    """Log joint of all genes plus the log prior of theta is the model's density, component by component."""
    model = NegativeBinomialDE(options={"effects": "student_t"})
    full, p = simulated(model, 12, 3)
    study = study_of(model, full)
    theta = study.at.theta(p, full["log_size_factor"])
    hyper = study.at.hyper(theta, full["log_size_factor"])
    psi = start(study)
    genes = laplace._log_joint(study, hyper, 0, psi).sum()
    prior = model.hyper_log_density(study.at, theta, hyper)
    assert math.isclose(genes + prior, model.log_density({"theta": theta, "psi": psi}, full), rel_tol=1e-12)


@pytest.mark.parametrize("options", STRUCTURES)
def test_modes_are_maxima(options: dict[str, str]) -> None:
    """No gradient is left that could raise a log density by 1e-4, and no step in any direction raises it."""
    study, hyper = at_truth(NegativeBinomialDE(options=options), G=30)
    rng = np.random.default_rng(4)
    for c in range(study.at.C):
        found = gene_posterior(study, hyper, c, start(study), steps=50, tolerance=1e-8)
        value, gradient, precision = laplace._terms(study, hyper, c, found.mode)
        promised = np.einsum("gp,gp->g", gradient, np.linalg.solve(precision, gradient[..., None])[..., 0])
        assert promised.max() < 1e-6
        sd = np.sqrt(found.variance)
        for size in (0.05, 0.5):
            step = size * sd * rng.normal(size=sd.shape)
            assert (laplace._log_joint(study, hyper, c, found.mode + step) < value).all()


def test_modes_are_found_from_far_away() -> None:
    study, hyper = at_truth(NegativeBinomialDE(), G=30)
    near = gene_posterior(study, hyper, 1, start(study), steps=100, tolerance=1e-9)
    far = gene_posterior(study, hyper, 1, start(study) + 3.0, steps=100, tolerance=1e-9)
    assert np.allclose(near.mode, far.mode, atol=1e-3)


def grid_integral(study: Study, hyper: dict[str, Float], component: int, gene: int, width: float = 9.0) -> Any:
    """Log integral, means and variances over (alpha, e, d) of one gene, by brute force around the Laplace mode."""
    one = study.subset(np.array([gene]))
    found = gene_posterior(one, hyper, component, start(one), steps=100, tolerance=1e-10)
    sd = np.sqrt(found.variance[0])
    # heavy tails of d, and e towards the Poisson limit, where the likelihood is flat
    axes = [
        np.linspace(m - width * s, m + width * s, 61) for m, s in zip(found.mode[0], np.minimum(sd, 1.5), strict=True)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    wide = {**one.full, "count": np.repeat(one.full["count"], len(points), 1), "G": len(points)}
    wide["log_length"] = np.zeros((one.full["S"], len(points)))
    value = laplace._log_joint(Study(one.at, wide, one.nu), hyper, component, points)
    cell = math.prod(float(axis[1] - axis[0]) for axis in axes)
    weight = np.exp(value - value.max())
    share = weight / weight.sum()
    mean = share @ points
    return math.log(weight.sum() * cell) + value.max(), mean, share @ (points - mean) ** 2


def test_quadrature_against_brute_force() -> None:
    """One tested column, no other terms, a spike's slab: three coordinates on a grid of 61^3 points.

    With five nodes the log integral is within 0.05, the dispersion's mean within 0.1 of its posterior sd and the
    intercept's within 0.25, for which Laplace's approximation still stands; alone it puts the dispersion further off.
    """
    model = NegativeBinomialDE()
    full, p = simulated(model, 6, 5)
    full = model.complete(
        {"count": full["count"], "design": full["design"], "log_size_factor": full["log_size_factor"]}
    )
    study = study_of(model, full)
    theta = study.at.theta(p | {"tau": np.zeros(0)}, full["log_size_factor"])
    hyper = study.at.hyper(theta, full["log_size_factor"])
    assert study.at.P == 3
    rough = gene_posterior(study, hyper, 1, start(study))
    fine = integrate_dispersion(study, hyper, 1, rough, NODES)
    laplace_error, quadrature_error = [], []
    for g in range(6):
        log_integral, mean, variance = grid_integral(study, hyper, 1, g)
        sd = np.sqrt(variance)
        assert abs(fine.log_marginal[g] - log_integral) < 0.05
        assert np.all(np.abs(fine.mean[g] - mean)[:2] < np.array([0.25, 0.1]) * sd[:2])
        assert np.all(np.abs(np.sqrt(fine.variance[g]) / sd - 1)[:2] < 0.15)
        laplace_error.append(abs(rough.mean[g, 1] - mean[1]) / sd[1])
        quadrature_error.append(abs(fine.mean[g, 1] - mean[1]) / sd[1])
    assert max(quadrature_error) < 0.5 * max(laplace_error)  # negative control: what the quadrature is for


@pytest.mark.parametrize("K", [1, 2, 3])
def test_a_flat_likelihood_leaves_the_slab_its_whole_mass(K: int) -> None:
    """Laplace's integral of the Student-t alone is exactly one, by the factor on its curvature."""
    factor = laplace._flat_match(SLAB_NU, K)
    log_height = float(spherical_student_t_logpdf(np.zeros((1, K)), SLAB_NU)[0])
    curvature = factor * (SLAB_NU + K) / SLAB_NU
    assert math.isclose(log_height + K / 2 * math.log(2 * math.pi / curvature), 0.0, abs_tol=1e-12)
    assert factor < 1  # negative control: the curvature alone loses mass


def test_a_gene_without_information_keeps_the_weights() -> None:
    """All counts zero and a mean far below one: the component says nothing, so its probability is the prior weight."""
    model = NegativeBinomialDE()
    data = {"count": np.zeros((4, 3), dtype=int), "design": [[-0.5], [-0.5], [0.5], [0.5]]}
    full = model.complete(data)
    study = study_of(model, full)
    theta = np.zeros(study.at.H)
    theta[0] = -20.0
    theta[study.at.weight] = math.log(0.25)
    found = marginal(study, theta, [start(study)] * 2)
    assert np.allclose(found.responsibility, [0.8, 0.2], atol=1e-3)


def test_genes_follow_the_hyperparameters() -> None:
    """The derivative of a mode in each hyperparameter against the modes found again at moved ones."""
    model = NegativeBinomialDE(options={"effects": "student_t"})
    full, p = simulated(model, 10, 6)
    study = study_of(model, full)
    theta = study.at.theta(p, full["log_size_factor"])

    def modes(at: Float) -> Float:
        hyper = study.at.hyper(at, full["log_size_factor"])
        return gene_posterior(study, hyper, 0, start(study), steps=200, tolerance=1e-12).mode

    base = marginal(study, theta, [start(study)], steps=200)
    derivative = follow(study, theta, base)
    # the curvature used is the expected one, and the mode's true derivative has the observed one: close, not equal
    for h in (0, 5, study.at.H - 1):
        step = 1e-3 * (np.arange(study.at.H) == h)
        moved = (modes(theta + step) - modes(theta - step)) / 2e-3
        assert np.corrcoef(moved.ravel(), derivative[:, :, h].ravel())[0, 1] > 0.9


def test_scores_are_slopes_of_the_marginal_likelihood() -> None:
    """In a random direction but for the size factors, of which ``test_following`` tells."""
    model = NegativeBinomialDE()
    full, p = simulated(model, 10, 7)
    study = study_of(model, full)
    theta = study.at.theta(p, full["log_size_factor"])
    base = marginal(study, theta, [start(study)] * 2, nodes=NODES, steps=100)
    score = scores(study, theta, base, NODES)
    assert score.shape == (10, study.at.H)
    direction = np.random.default_rng(8).normal(size=study.at.H)
    direction[study.at.v] = 0
    modes = [part.mode for part in base.components]
    up, down = (marginal(study, theta + s * direction, modes, nodes=NODES, steps=50) for s in (0.01, -0.01))
    along = (up.log_marginal - down.log_marginal) / 0.02
    assert np.allclose(score @ direction, along, rtol=0.05, atol=0.1)
    information = information_matrix(score, lambda t: -0.5 * float(t @ t), theta, 30)
    assert np.allclose(information, 3 * score.T @ score + np.eye(study.at.H), atol=1e-6)


def test_climbing_raises_the_marginal_posterior() -> None:
    model = NegativeBinomialDE()
    full, p = simulated(model, 40, 9)
    study = study_of(model, full)

    def log_prior(theta: Float) -> float:
        return model.hyper_log_density(study.at, theta, study.at.hyper(theta, full["log_size_factor"]))

    begin = study.at.theta(p, full["log_size_factor"]) + 0.5
    theta, found = fit_hyper(study, begin, [start(study)] * 2, log_prior)
    before = marginal(study, begin, [start(study)] * 2)
    assert found.log_marginal.sum() + log_prior(theta) > before.log_marginal.sum() + log_prior(begin) + 1
    assert np.allclose(found.responsibility.sum(axis=1), 1)


@pytest.fixture(scope="module")
def warmed() -> tuple[NegativeBinomialDE, Any, Any, WarmStart]:
    """400 genes x 8 samples from known hyperparameters; seed 10."""
    model = NegativeBinomialDE()
    full, p = simulated(model, 400, 10)
    return model, full, p, warm_start(model, full, np.random.default_rng(1))


def test_a_warm_start_finds_the_hyperparameters(warmed: Any) -> None:
    """Every one within four of its own posterior standard deviations, which are small: the largest is below 0.6."""
    model, full, p, warm = warmed
    at = model.layout(full)
    truth = at.theta(p, full["log_size_factor"])
    sd = np.sqrt(np.diag(warm.whitening.theta_scale @ warm.whitening.theta_scale.T))
    z = (warm.theta - truth) / sd
    assert np.abs(z).max() < 4, dict(zip(at.names(), z.round(2), strict=True))
    assert sd.max() < 0.6
    assert sd[0] == pytest.approx(
        1.8 / math.sqrt(400), rel=0.3
    )  # mu_alpha: the genes' spread over the root of their number


def test_a_warm_start_finds_the_genes(warmed: Any) -> None:
    """Intercepts, standardised by the approximate posterior: mean near 0 and sd near 1 over 400 genes."""
    _, _, p, warm = warmed
    z = (p["alpha"] - warm.genes.mean()[:, 0]) / warm.genes.sd()[:, 0]
    assert abs(z.mean()) < 0.3
    assert 0.8 < z.std() < 1.2
    called = warm.genes.responsibility[:, 1]
    assert called[p["component"] == 1].mean() > called[p["component"] == 0].mean() + 0.2


def test_the_whitening_is_invertible_and_finite(warmed: Any) -> None:
    model, full, _, warm = warmed
    maps, at = warm.whitening, model.layout(full)
    assert (maps.scale > 0).all()
    assert (np.diag(maps.theta_scale) > 0).all()
    assert np.array_equal(maps.theta_scale, np.tril(maps.theta_scale))
    for array in vars(maps).values():
        assert np.isfinite(array).all()
    rng = np.random.default_rng(11)
    zeta, z = rng.normal(size=at.H), rng.normal(size=maps.center.shape)
    theta = maps.theta(zeta)
    assert np.allclose(maps.zeta(theta), zeta)
    assert np.allclose(maps.z(maps.psi(z, theta), theta), z)


def test_chains_start_apart_and_again(warmed: Any) -> None:
    _, _, _, warm = warmed
    one, two = (starting_points(warm, 3, np.random.default_rng(12)) for _ in range(2))
    assert len(one) == 3
    assert np.array_equal(one[2]["z"], two[2]["z"])
    assert not np.array_equal(one[0]["zeta"], one[1]["zeta"])


@pytest.mark.parametrize("options", [*STRUCTURES, {"size_factors": "fixed"}])
def test_every_structure_has_a_warm_start(options: dict[str, str]) -> None:
    model = NegativeBinomialDE(options=options)
    full, _ = simulated(model, 25, 13, S=6)
    warm = warm_start(model, full, np.random.default_rng(1))
    assert np.isfinite(warm.theta).all()
    assert np.isfinite(warm.genes.mean()).all()


@pytest.mark.parametrize(
    "count",
    [
        np.array([[0, 0], [0, 5], [0, 0], [1, 0]]),
        np.array([[10**7, 0], [10**7, 1], [0, 10**6], [0, 0]]),
        np.array([[7], [7], [7], [7]]),
    ],
)
def test_hard_counts_have_a_finite_start(count: NDArray[np.int64]) -> None:
    """One or two genes, nearly no counts, or everything in one group."""
    model = NegativeBinomialDE()
    full = model.complete({"count": count, "design": [[-0.5], [-0.5], [0.5], [0.5]]})
    warm = warm_start(model, full, np.random.default_rng(1))
    assert np.isfinite(warm.theta).all()
    for array in vars(warm.whitening).values():
        assert np.isfinite(array).all()
