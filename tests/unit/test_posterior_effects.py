"""Summaries of mixture posteriors against brute force, and the table made of them."""

from __future__ import annotations

import numpy as np
import pytest

from bayesexpr import names
from bayesexpr.posterior import effects

D = 800


def mixture(seed: int, n_genes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    lfc = np.zeros((D, n_genes, 3))
    lfc[..., 1] = rng.normal(size=(D, n_genes)) * 0.5 + np.array([0, 0.3, 0.8, -2, 1.2, 0.9])[:n_genes]
    lfc[..., 2] = 0.5 * lfc[..., 1]
    weight = rng.dirichlet([1, 2, 1], size=(D, n_genes))
    return lfc, weight


def test_equals_drawing_the_components() -> None:
    # seed 5: 300 draws of the component for each of 800 draws; tolerance 4 standard errors of the brute force
    rng = np.random.default_rng(5)
    lfc, weight = mixture(5)
    got = effects.summarise(lfc, weight, threshold=0.5, rope=0.1)
    for g in range(lfc.shape[1]):
        u = rng.random((300, D))
        component = (u[..., None] > np.cumsum(weight[:, g], axis=1)[None]).sum(axis=-1)
        drawn = lfc[np.arange(D)[None, :], g, component]
        se = drawn.std() / np.sqrt(drawn.size)
        assert got.mean[g] == pytest.approx(drawn.mean(), abs=4 * se)
        assert got.sd[g] == pytest.approx(drawn.std(), rel=0.02)
        assert got.prob_gt[g] == pytest.approx((np.abs(drawn) > 0.5).mean(), abs=0.005)
        assert got.lfsr[g] == pytest.approx(min((drawn <= 0).mean(), (drawn >= 0).mean()), abs=0.005)
        assert got.lfdr[g] == pytest.approx(1 - max((drawn > 0.1).mean(), (drawn < -0.1).mean()), abs=0.005)
        assert got.prob_changed[g] == pytest.approx((component > 0).mean(), abs=0.005)
        changed = drawn[component > 0]
        assert got.changed_mean[g] == pytest.approx(changed.mean(), abs=0.01)
        for end, p in (("lower", 0.025), ("upper", 0.975)):
            # tolerance in probability: quantiles at the edge of the zero atom may jump in value
            value = getattr(got, end)[g]
            assert (drawn < value).mean() - 0.004 <= p <= (drawn <= value).mean() + 0.004
            value = getattr(got, f"changed_{end}")[g]
            assert (changed < value).mean() - 0.006 <= p <= (changed <= value).mean() + 0.006


def test_one_component_has_the_unweighted_interval() -> None:
    x = np.random.default_rng(1).normal(size=(999, 4, 1))
    got = effects.summarise(x, np.ones_like(x), threshold=1.0, interval=0.9)
    for p, end in ((0.05, got.lower), (0.95, got.upper)):
        np.testing.assert_allclose(end, np.quantile(x[..., 0], p, axis=0, method="weibull"))
    np.testing.assert_allclose(got.mean, x.mean(axis=(0, 2)))
    np.testing.assert_allclose(got.sd, x.std(axis=(0, 2)))
    np.testing.assert_array_equal(got.changed_lower, got.lower)
    np.testing.assert_allclose(got.prob_changed, 1)


def test_interval_of_few_draws_is_not_too_narrow() -> None:
    # seed 2: 99 independent draws of N(0, 1), 4000 genes; one more draw is inside with probability 90 %,
    # 88.2 % with NumPy's default quantiles; 3 standard errors are 1.4 %
    rng = np.random.default_rng(2)
    x = rng.normal(size=(99, 4000, 1))
    truth = rng.normal(size=4000)
    got = effects.summarise(x, np.ones_like(x), threshold=1.0, interval=0.9)
    assert ((truth > got.lower) & (truth < got.upper)).mean() == pytest.approx(0.9, abs=0.014)


def test_sign_reversal_mirrors_everything() -> None:
    lfc, weight = mixture(3)
    plus = effects.summarise(lfc, weight, threshold=0.7)
    minus = effects.summarise(-lfc, weight, threshold=0.7)
    np.testing.assert_allclose(minus.mean, -plus.mean)
    np.testing.assert_allclose(minus.lower, -plus.upper, atol=1e-12)
    np.testing.assert_allclose(minus.changed_upper, -plus.changed_lower, atol=1e-12)
    for name in ("sd", "prob_gt", "lfsr", "lfdr", "prob_changed"):
        np.testing.assert_allclose(getattr(minus, name), getattr(plus, name))


def test_sure_and_null_genes() -> None:
    lfc = np.zeros((D, 2, 2))
    lfc[..., 1] = 1.0 + 0.01 * np.random.default_rng(0).normal(size=(D, 2))
    weight = np.zeros((D, 2, 2))
    weight[:, 0, 1] = 1.0
    weight[:, 1, 0] = 1.0
    got = effects.summarise(lfc, weight, threshold=0.5)
    assert got.lfsr[0] == got.lfdr[0] == pytest.approx(0.5 / (D + 1))
    assert got.lower[0] > 0.9
    # weight zero on the change in every draw: zero overall, and given a change its draws with equal weights
    assert got.mean[1] == got.sd[1] == got.lower[1] == got.upper[1] == got.prob_gt[1] == 0
    assert got.lfsr[1] == pytest.approx(1, abs=1 / D)
    assert got.changed_mean[1] == pytest.approx(1.0, abs=0.01)
    assert np.isfinite(got.changed_lower[1])


def test_contrast_that_no_component_lets_change_is_zero_throughout() -> None:
    got = effects.summarise(np.zeros((D, 3, 2)), np.full((D, 3, 2), 0.5), threshold=0.5)
    for name in (
        "mean",
        "sd",
        "lower",
        "upper",
        "prob_gt",
        "changed_mean",
        "changed_lower",
        "changed_upper",
        "prob_changed",
    ):
        np.testing.assert_array_equal(getattr(got, name), 0)
    assert (got.lfdr > 0.99).all()


def test_rounding_error_in_a_null_component_stays_a_zero() -> None:
    lfc, weight = mixture(9)
    clean = effects.summarise(lfc, weight, threshold=0.5)
    lfc[..., 0] = 1e-17
    for is_null in (None, [False, False, False], [True, False, False]):
        np.testing.assert_array_equal(effects.summarise(lfc, weight, threshold=0.5, is_null=is_null).lfsr, clean.lfsr)
    assert (clean.lfsr > 0.1).all()
    # negative control: values above rounding are signs, and the false sign rate collapses
    lfc[..., 0] = 1e-9
    assert effects.summarise(lfc, weight, threshold=0.5).lfsr[4] < 0.5 * clean.lfsr[4]


def test_chunks_and_threads_change_nothing() -> None:
    lfc, weight = mixture(4)
    whole = effects.summarise(lfc, weight, threshold=0.5, is_null=[True, False, False])
    parts = ((lfc[:, i : i + 2], weight[:, i : i + 2]) for i in (0, 2, 4))
    got = effects.summarise_chunks(parts, threshold=0.5, is_null=[True, False, False], threads=2)
    for name in ("mean", "lower", "lfsr", "lfdr", "changed_upper"):
        np.testing.assert_allclose(getattr(got, name), getattr(whole, name), rtol=1e-12)


def test_chunks_are_not_made_ahead_of_the_work() -> None:
    lfc, weight = mixture(4)
    made = []

    def chunks():
        for i in range(6):
            made.append(i)
            yield lfc[:, i : i + 1], weight[:, i : i + 1]

    results = effects._bounded_map(_Serial(), lambda chunk: effects.summarise(*chunk, threshold=1.0), chunks(), 2)
    next(results)
    assert len(made) == 2


class _Serial:
    def submit(self, work, item):
        from concurrent.futures import Future

        future: Future = Future()
        future.set_result(work(item))
        return future


def test_exceedance_falls_from_the_probability_of_a_change() -> None:
    lfc, weight = mixture(6)
    curve = effects.exceedance(lfc, weight, [0.0, 0.5, 10.0])
    got = effects.summarise(lfc, weight, threshold=0.5)
    np.testing.assert_allclose(curve[0], got.prob_changed)
    np.testing.assert_allclose(curve[1], got.prob_gt)
    np.testing.assert_array_equal(curve[2], 0)


def test_table_is_log2_and_leaves_unanswered_genes_empty() -> None:
    lfc, weight = mixture(8)
    got = effects.summarise(lfc, weight, threshold=np.log(2))
    status = ["ok", "all_zero", "low_ess", "ok", "outlier", "ok"]
    ones = np.ones(6)
    table = effects.effect_table(
        [f"g{i}" for i in range(6)],
        got,
        base_mean=[5, 0, 3, 2, 1, 9],
        dispersion=0.1 * ones,
        rhat=ones,
        ess_bulk=900 * ones,
        ess_tail=800 * ones,
        status=status,
    )
    assert tuple(table.columns) == names.RESULT_COLUMNS
    assert list(table["status"]) == status
    np.testing.assert_allclose(table["log2FoldChange"][[0, 2]], got.mean[[0, 2]] / np.log(2))
    empty = table.loc[1].drop(["gene", "baseMean", "status"])
    assert empty.isna().all()
    assert table["baseMean"][1] == 0
    assert table.drop(index=1).notna().all(axis=None)
    # the unanswered gene has no part in the running means
    assert table["qvalue"].max() == pytest.approx(table["lfdr"].drop(index=1).mean())


def test_shapes_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="draw, gene, component"):
        effects.summarise(np.zeros((3, 2, 2)), np.zeros((3, 2)), threshold=1.0)
