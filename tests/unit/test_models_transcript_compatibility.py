"""transcript_compatibility in NumPy: coordinates, density, simulator, rules, and the text's example."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse, stats

from bayesexpr.errors import InputError
from bayesexpr.models.compatibility_forest import Forest, expectation_maximisation, grow
from bayesexpr.models.priors import Gamma, Normal
from bayesexpr.models.transcript_compatibility import TranscriptCompatibility

FOUR_EXONS: dict[str, Any] = {
    "count": [0, 1260, 530, 0],
    "compatibility": [[0, 0], [0, 1], [0, 2], [1, 0], [2, 1], [3, 0], [3, 1], [3, 2]],
    "effective_length": [0, 126, 106, 0],
}
SHARED: dict[str, Any] = {
    "count": [30, 5, 60, 0],
    "compatibility": [[0, 0], [1, 1], [2, 0], [2, 1], [3, 2]],
    "transcript_length": [400.0, 300.0, 900.0],
}


def random_classes(rng: np.random.Generator, C: int = 30, T: int = 20) -> sparse.csr_matrix:
    A = sparse.random(C, T, density=0.15, random_state=rng, format="csr", data_rvs=lambda n: rng.uniform(0.5, 2, n))
    return sparse.csr_matrix(A[np.diff(A.indptr) > 0])


def test_four_exons_of_the_text() -> None:
    model = TranscriptCompatibility()
    found = model.identifiability(FOUR_EXONS)
    assert found.rank == 2
    np.testing.assert_array_equal(found.identifiable, [True, True, False])
    full = model.complete(FOUR_EXONS)
    np.testing.assert_array_equal(full["rate"].toarray(), [[0, 0, 0], [126, 0, 0], [0, 106, 0], [0, 0, 0]])
    np.testing.assert_array_equal(full["exposure"], [126, 106, 0])


def test_an_absent_transcript_is_known_to_be_near_zero() -> None:
    """With lengths of transcripts, no fragment in 900 positions is information; in none it is not."""
    model = TranscriptCompatibility()
    assert model.identifiability(SHARED).identifiable.all()
    nowhere = {**SHARED, "transcript_length": [400.0, 300.0, 900.0, 0.0]}
    np.testing.assert_array_equal(model.identifiability(nowhere).identifiable, [True, True, True, False])


def test_forest_covers_every_leaf_once_and_comes_back() -> None:
    rng = np.random.default_rng(1)
    A = random_classes(rng)
    forest = grow(A, rng.poisson(20, A.shape[0]) + 1)
    T, B = forest.leaves, len(forest.root)
    assert A.shape[1] == T
    below_top = np.sort(np.concatenate([forest.root, forest.left, forest.right]))
    np.testing.assert_array_equal(below_top, np.arange(2 * T - B))
    leaves = rng.gamma(0.3, size=T) + 1e-8
    np.testing.assert_allclose(forest.log_leaves(forest.coordinates(leaves)), np.log(leaves), atol=1e-12)


def test_coordinates_preserve_volume() -> None:
    """|det d log(eta) / d v| = 1, by central differences of step 1e-5 at a random point (seed 2); tolerance 1e-8."""
    rng = np.random.default_rng(2)
    forest = Forest(np.array([6, 5]), np.array([7, 8, 9, 0]), np.array([4, 3, 2, 1]))
    v = rng.normal(size=6)
    step = 1e-5 * np.eye(6)
    jacobian = np.stack([(forest.log_leaves(v + h) - forest.log_leaves(v - h)) / 2e-5 for h in step])
    assert abs(abs(np.linalg.det(jacobian)) - 1) < 1e-8


def test_duplicates_are_parted_last() -> None:
    """Two transcripts with the same classes are siblings in the tree."""
    A = sparse.csr_matrix(np.array([[1.0, 1, 1], [0, 1, 0], [1, 1, 1]]))
    forest = grow(A, np.array([10, 5, 3]))
    assert {int(forest.left[-1]), int(forest.right[-1])} == {0, 2}


def test_expectation_maximisation_solves_what_is_known() -> None:
    """Without ambiguity the expected fragments are the conjugate posterior means."""
    A = sparse.csr_matrix(np.eye(3))
    count, inverse_scale = np.array([10, 0, 3]), np.array([0.1, 0.2, 0.3])
    eta = expectation_maximisation(A, count, np.ones(3), 0.5, inverse_scale)
    np.testing.assert_allclose(eta, (count + 0.5) / (1 + inverse_scale), rtol=1e-12)


@pytest.mark.parametrize("abundance", ["log_normal", "gamma"])
def test_log_density_term_by_term(abundance: str) -> None:
    model = TranscriptCompatibility({"abundance": abundance})
    log_lambda = np.array([-2.0, -3.0, -6.0])
    eta = np.exp(log_lambda) * SHARED["transcript_length"]
    rate = 95 / 1600
    scaled = log_lambda - np.log(rate)
    if abundance == "log_normal":
        prior = stats.norm(-2.76, 2.35).logpdf(scaled).sum()
    else:
        prior = (stats.gamma(0.5, scale=2).logpdf(np.exp(scaled)) + scaled).sum()
    lam = np.exp(log_lambda)
    likelihood = 30 * log_lambda[0] + 5 * log_lambda[1] + 60 * np.log(lam[0] + lam[1]) - eta.sum()
    likelihood -= sum(float(np.log(np.arange(1, n + 1)).sum()) for n in (30, 5, 60))
    assert model.log_density({"log_lambda": log_lambda}, SHARED) == pytest.approx(prior + likelihood, abs=1e-9)


def test_lengths_of_classes_or_of_transcripts_give_one_posterior() -> None:
    """The lengths of the classes only add a constant where they sum to those of the transcripts."""
    pairs = [[0, 0], [1, 1], [2, 0], [2, 1]]
    by_class = {"count": [30, 5, 60], "compatibility": pairs, "effective_length": [300.0, 200.0, 100.0]}
    by_transcript = {"count": [30, 5, 60], "compatibility": pairs, "transcript_length": [400.0, 300.0]}
    for data in (by_class, by_transcript):
        data["total"] = 95
    model = TranscriptCompatibility()
    points = np.random.default_rng(4).normal(-2, 1, (5, 2))
    densities = np.array([[model.log_density({"log_lambda": p}, d) for p in points] for d in (by_class, by_transcript)])
    np.testing.assert_allclose(np.diff(densities[0]), np.diff(densities[1]), atol=1e-9)


def test_the_simulated_fragments_of_transcripts_are_those_of_the_simulated_counts() -> None:
    """Not of the counts before they were drawn: calibration found true values of zero."""
    model = TranscriptCompatibility()
    truth, data = model.simulate(model.SCENARIO, np.random.default_rng(5))
    assert np.sum(truth["expected_count"]) == pytest.approx(np.sum(data["count"]))
    again = model.posterior({"log_lambda": truth["log_lambda"]}, data)
    np.testing.assert_allclose(truth["expected_count"], again["expected_count"])


def test_simulated_counts_have_the_model_s_mean() -> None:
    """Seed 5, 1,000 simulations with a narrow prior: mean within 5 standard errors of the expected counts."""
    model = TranscriptCompatibility(priors={"log_abundance": Normal(0.0, 1e-6)})
    rng = np.random.default_rng(5)
    counts = np.stack([model.simulate(model.SCENARIO, rng)[1]["count"] for _ in range(1000)])
    full = model.complete({**model.SCENARIO, "count": np.zeros(6)})
    expected = full["rate"] @ np.full(3, full["expected_rate"])
    np.testing.assert_array_less(np.abs(counts.mean(0) - expected), 5 * np.sqrt(expected / 1000))


@pytest.mark.parametrize("abundance", ["log_normal", "gamma"])
def test_simulated_abundances_have_the_prior_s_law(abundance: str) -> None:
    """Seed 6, 3 x 500 abundances: Kolmogorov-Smirnov p above 1e-3, and far below it for another prior."""
    model = TranscriptCompatibility({"abundance": abundance})
    rng = np.random.default_rng(6)
    rate = model.complete({**model.SCENARIO, "count": np.zeros(6)})["expected_rate"]
    draws = np.concatenate([model.simulate(model.SCENARIO, rng)[0]["log_lambda"] for _ in range(500)]) - np.log(rate)
    gamma, normal = Gamma(0.5, 0.5).frozen(), stats.norm(-2.76, 2.35)
    laws = {"gamma": lambda x: gamma.cdf(np.exp(x)), "log_normal": normal.cdf}
    for name, law in laws.items():
        p = stats.kstest(draws, law).pvalue
        assert (p > 1e-3) if name == abundance else (p < 1e-10)


def test_posterior_units() -> None:
    model = TranscriptCompatibility()
    draws = model.posterior({"log_lambda": np.log([[0.1, 0.2, 0.1]])}, SHARED)
    np.testing.assert_allclose(draws["tpm"], [[250_000, 500_000, 250_000]])
    np.testing.assert_allclose(draws["expected_count"], 95 * np.array([[40, 60, 90]]) / 190)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": [30, 5, -1, 0]}, r"count holds whole numbers from 0.*count\[2\] is -1"),
        ({"count": [30, 5, 6.5, 0]}, r"count\[2\] is 6.5"),
        ({"compatibility": [[0, 0], [1, 1], [2, 0]]}, r"class 3 has none"),
        ({"compatibility": [[0, 0], [1, 1], [2, 5], [3, 2]]}, r"compatibility\[2\] is \[2, 5\]"),
        ({"compatibility": [[0, 0], [1, 1], [4, 0], [3, 2]]}, r"compatibility\[2\] is \[4, 0\]"),
        ({"compatibility": [[0, 0], [1, 1], [2, 0], [2, 0], [3, 2]]}, r"a pair once; \[2, 0\]"),
        ({"compatibility": [0, 1, 2]}, r"compatibility is \[N\]\[2\]"),
        ({"transcript_length": [400.0, -300.0, 900.0]}, r"transcript_length\[1\] is -300"),
        ({"transcript_length": [400.0, 0.0, 900.0]}, r"has positions; transcript_length\[1\] is 0"),
        ({"transcript_length": [400.0, np.nan, 900.0]}, r"transcript_length\[1\] is nan"),
        ({"effective_length": [1.0, 1.0, 1.0, 1.0]}, "not both"),
        ({"weight": [1.0, 1.0]}, "one number for each pair of compatibility, 5; it has 2"),
        ({"weight": [1.0, 1.0, 0.0, 1.0, 1.0]}, r"weight\[2\] is 0"),
        ({"total": 0}, "total"),
        ({"lengths": [1]}, "does not know data .?lengths"),
    ],
)
def test_bad_data_are_refused_with_their_index(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TranscriptCompatibility().stan_data({**SHARED, **change})


def test_fragments_in_a_class_of_length_zero_are_refused() -> None:
    with pytest.raises(InputError, match=r"length 0 has no fragments; count\[0\] is 3"):
        TranscriptCompatibility().stan_data({**FOUR_EXONS, "count": [3, 1260, 530, 0]})


def test_what_the_data_do_not_say_cannot_be_drawn() -> None:
    model = TranscriptCompatibility()
    with pytest.raises(InputError, match="effective_length of every class"):
        model.simulate({k: v for k, v in SHARED.items() if k != "count"}, np.random.default_rng(1))
    with pytest.raises(InputError, match="a simulation needs the effective length of every class"):
        model.conditions(SHARED)


def test_replicates_without_lengths_of_classes_know_the_blocks() -> None:
    """4,000 replicates (seed 1): a block's fragments are Poisson; the shares of its classes are those counted."""
    model, rng = TranscriptCompatibility(), np.random.default_rng(1)
    pairs = [[0, 0], [0, 1], [1, 1], [2, 2], [3, 0], [4, 3]]
    data = {"count": [60, 30, 500, 10, 0], "compatibility": pairs, "transcript_length": [500.0, 400.0, 800.0, 90.0]}
    full = model.complete(data)
    log_lambda = np.log([0.1, 0.2, 0.5, 0.01])
    drawn = np.stack([model.replicate({"log_lambda": log_lambda}, full, rng) for _ in range(4000)])
    block = drawn[:, [0, 1, 3]].sum(axis=1)
    for fragments, expected in ((block, 130.0), (drawn[:, 2], 400.0)):
        assert fragments.mean() == pytest.approx(expected, abs=5 * (expected / 4000) ** 0.5)
        assert fragments.var() == pytest.approx(expected, rel=0.15)
    share = drawn[:, 0] / block
    assert share.mean() == pytest.approx(0.6, abs=0.006)
    # of a multinomial draw of 130, and of a share known from 100 fragments
    assert share.var() == pytest.approx(0.24 * (1 / 130 + 1 / 101), rel=0.15)
    assert not drawn[:, 4].any()
