"""Integrated leave-one-out against integrals on a grid, refits and planted outliers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats
from study_of_genes import Simulated, known, of_structure, simulate

from bayesexpr.calibration.loo_report import distance, finding, k_table, pit_finding, program_table
from bayesexpr.calibration.outlying_cells import finding as outlier_finding
from bayesexpr.calibration.outlying_cells import outlying_cells
from bayesexpr.distributions import nb2_logpmf
from bayesexpr.empirical_bayes.gene_integration import approximate, points, proposals, weigh
from bayesexpr.empirical_bayes.leave_one_out import LeftOut, leave_one_out, leave_out
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE


def grid_marginals(made: Simulated, g: int) -> tuple[float, np.ndarray]:
    """Log of the likelihood of gene g integrated over its parameters on a grid, whole and without each sample."""
    h, full = made.hyper.centre, made.study.full
    y, x = full["count"][:, g], full["design"][:, 0]
    alpha, e = np.linspace(-4, 13, 340), np.linspace(-5, 5, 41)
    d = np.sinh(np.linspace(-4, 4, 161))  # to 27 scales of the slab: its tails are heavy
    step = (alpha[1] - alpha[0]) * (e[1] - e[0]) * 0.05 * np.sqrt(1 + d**2)
    a, z, b = alpha[:, None, None], e[None, :, None], d[None, None, :]
    log_phi = h["sigma_phi"] * z - np.log(h["a0"] + h["a1"] * np.exp(-a))
    prior = stats.norm.logpdf(a, h["mu_alpha"], h["sigma_alpha"]) + stats.norm.logpdf(z) + np.log(step)

    def cell(s: int, effect: np.ndarray | float) -> np.ndarray:
        return nb2_logpmf(y[s], np.exp(np.minimum(a + h["log_f"][s] + x[s] * effect, 30.0)), np.exp(log_phi))

    slab = prior + stats.t.logpdf(b, 4)
    terms = []
    for weight, density, effect in zip(h["weight"], (slab, slab), (0.0, h["s"] * b), strict=True):
        cells = [cell(s, effect) for s in range(len(y))]
        total = sum(cells)
        terms.append([np.log(weight) + special.logsumexp(density + total - out) for out in (0.0, *cells)])
    whole, *without = np.logaddexp(terms[0], terms[1])
    return float(whole), np.array(without)


def test_a_gene_is_integrated_as_on_a_grid() -> None:
    """Four genes in 2 x 2 samples, seed 1: log p(count | the gene's others) within 0.05 nat of a grid's.

    The hyperparameters are known, so that this is the exact leave-one-out. Tolerance: 512 points.
    """
    rng = np.random.default_rng(1)
    made = simulate(6, 4, rng)
    found = leave_one_out(made.study, made.hyper, 1, number=512)
    for g in range(4):
        whole, without = grid_marginals(made, g)
        np.testing.assert_allclose(found.elpd[:, g], whole - without, atol=0.05)
    assert found.unreliable == 0


def test_a_forgotten_slab_tail_is_seen() -> None:
    """Negative control: with a quarter of the slab's scale in the integrals, they miss the grid's by far more."""
    rng = np.random.default_rng(1)
    made = simulate(6, 4, rng)
    wrong = dict(made.hyper.draws) | {"s": made.hyper.draws["s"] / 4, "weight": np.tile([0.05, 0.95], (4, 1))}
    found = leave_one_out(made.study, type(made.hyper)(wrong, made.hyper.centre), 1)
    gaps = [np.abs(found.elpd[:, g] - np.subtract(*grid_marginals(made, g))).max() for g in range(6)]
    assert max(gaps) > 0.1


def test_the_pit_of_simulated_counts_is_uniform_and_every_k_is_small() -> None:
    # seed 2: 120 genes x 6 samples with donors; the 99.9 % point of Kolmogorov's distance of 720 counts is 0.073
    rng = np.random.default_rng(2)
    made = simulate(120, 6, rng, donors=True)
    found = leave_one_out(made.study, made.hyper, 1)
    assert distance(found.pit(rng)) < 0.073
    assert found.unreliable < 0.005
    assert pit_finding(found.pit(rng)).severity == 0


@pytest.mark.parametrize(
    ("levels", "options"),
    [
        (3, {}),
        (2, {"effects": "normal"}),
        (2, {"effects": "student_t"}),
        (2, {"effects": "normal", "dispersion": "global"}),
        (3, {"dispersion": "global", "size_factors": "fixed"}),
    ],
)
def test_every_structure_of_the_program(levels: int, options: dict[str, str]) -> None:
    # seed 8: 100 genes; the 99.9 % point of Kolmogorov's distance of 600 counts is 0.080, of 900 0.065
    made = of_structure(100, 8, levels, **options)
    rng = np.random.default_rng(8)
    found = leave_one_out(made.study, made.hyper, 1)
    assert distance(found.pit(rng)) < (0.080 if levels == 2 else 0.065)
    assert found.unreliable < 0.01


@pytest.mark.parametrize("what", ["half the dispersion", "a wrong size factor"])
def test_a_wrong_model_bends_the_pit(what: str) -> None:
    """Negative control: the same study under hyperparameters that are not those of the counts."""
    rng = np.random.default_rng(2)
    made = simulate(120, 6, rng)
    draws = dict(made.hyper.draws)
    if what == "half the dispersion":
        draws |= {"a0": draws["a0"] / 4, "a1": draws["a1"] / 4, "sigma_phi": np.full(4, 0.1)}
    else:
        draws["log_f"] = draws["log_f"] + np.log(2.0) * (np.arange(6) == 0)
    hyper = type(made.hyper)(draws, {name: value[0] for name, value in draws.items()})
    found = leave_one_out(made.study, hyper, 1)
    assert distance(found.pit(rng)) > 0.073
    samples = dict(enumerate("abcdef"))
    assert pit_finding(found.pit(rng), samples).severity >= 1


def planted(seed: int, G: int, S: int, number: int) -> tuple[Simulated, np.ndarray]:
    """A study with `number` counts of at least ten multiplied by 20, and their places."""
    rng = np.random.default_rng(seed)
    made = simulate(G, S, rng)
    y = made.study.full["count"].copy()
    cells = np.argwhere(y >= 10)
    cells = cells[rng.choice(len(cells), number, replace=False)]
    y[tuple(cells.T)] *= 20
    model = NegativeBinomialDE()
    data = {"count": y, "design": made.study.full["design"]}
    return known(model, model.complete(data), made.truth), cells


def listed(made: Simulated, seed: int) -> tuple[LeftOut, np.ndarray]:
    found = leave_one_out(made.study, made.hyper, seed)
    S, G = found.elpd.shape
    names = [str(g) for g in range(G)], [str(s) for s in range(S)]
    table = outlying_cells(found, made.study.full["count"], *names)
    return found, table[["sample", "gene"]].to_numpy().astype(int)


def test_outlying_counts_are_listed() -> None:
    # seed 5: 4 of 2,000 counts multiplied by 20, 8 samples of two conditions
    made, cells = planted(5, 250, 8, 4)
    found, rows = listed(made, 5)
    hit = {tuple(c) for c in cells} & {tuple(r) for r in rows}
    assert len(hit) >= 3
    assert len(rows) - len(hit) <= 1
    # each needed points without it, and those can be trusted
    assert (found.pareto_k[tuple(cells.T)] <= found.threshold).all()
    clean, _ = planted(5, 250, 8, 0)
    assert len(listed(clean, 5)[1]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_nine_of_ten_outliers_in_ten_thousand_counts(seed: int) -> None:
    """Ten counts x 20 among 10,000: at least nine found, at most one false."""
    made, cells = planted(seed, 1250, 8, 10)
    rows = {tuple(r) for r in listed(made, seed)[1]}
    hit = rows & {tuple(c) for c in cells}
    assert len(hit) >= 9
    assert len(rows - hit) <= 1


def test_words_of_outliers() -> None:
    import pandas as pd

    columns = ["gene", "sample", "count", "expected", "tail_probability", "adjusted", "pareto_k"]
    table = pd.DataFrame([["g1", "s1", 200, 10.0, 1e-9, 1e-5, 0.1]], columns=columns)
    assert outlier_finding(table, 10_000, 1).severity == 0
    assert "g1 in s1" in outlier_finding(table, 10_000, 1).text
    assert outlier_finding(table, 500, 1).severity == 1
    assert outlier_finding(table[:0], 500, 0).severity == 0


def of_points(log_lik: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log weights and log likelihoods [M, I, 1] of posterior draws [M, I] of one observation, all of equal weight."""
    return np.full((*log_lik.shape, 1), -np.log(log_lik.shape[1])), log_lik[:, :, None]


def test_leaving_out_is_the_harmonic_mean() -> None:
    # seed 3: draws of a posterior as points: 1 / mean(1 / likelihood)
    log_lik = np.random.default_rng(3).normal(-2, 0.3, (5, 200))
    elpd, k, weight = leave_out(*of_points(log_lik))
    assert elpd[0] == pytest.approx(-np.log(np.mean(np.exp(-log_lik))), rel=1e-12)
    assert k[0] < 0.5
    assert weight.sum() == pytest.approx(1)


def test_a_count_that_decides_the_hyperparameters_is_marked() -> None:
    log_lik = np.zeros((5, 200))
    log_lik[0] = -20
    assert leave_out(*of_points(log_lik))[1][0] == np.inf


def test_points_follow_their_density() -> None:
    """The mean of q / q is one for each of two proposals in a mixture, and all weights are finite."""
    rng = np.random.default_rng(4)
    made = simulate(5, 4, rng)
    found = approximate(made.study, made.hyper.centre)
    once = [[p] for p in proposals(made.study, made.hyper.centre, found)]
    twice = [[p, p] for p in proposals(made.study, made.hyper.centre, found)]
    for (x, log_q), (x2, log_q2) in zip(points(once, 64, rng), points(twice, 32, rng), strict=True):
        assert x.shape == x2.shape
        assert np.isfinite(log_q).all()
        np.testing.assert_allclose(np.median(log_q, axis=0), np.median(log_q2, axis=0), atol=1.5)
    assert np.isfinite(weigh(made.study, made.hyper, points(once, 32, rng)).log_weight).all()


def test_no_number_where_one_observation_in_a_hundred_fails() -> None:
    elpd, k = np.full(200, -1.0), np.zeros(200)
    k[:2] = 0.9
    shown = program_table(elpd, k, 4000)
    assert shown["elpd"][0] == pytest.approx(-200)
    assert "-200.0" in finding(shown).text
    k[2] = np.inf
    refused = program_table(elpd, k, 4000)
    assert refused["elpd"][0] is None
    assert finding(refused).severity == 1
    assert "no number" in finding(refused).text
    table = k_table(k, 0.7)
    assert table["observations"].sum() == 200
    assert table["observations"][table["lower"] >= 0.7 - 1e-9].sum() == 3
