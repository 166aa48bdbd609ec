"""Groups of a study's fit that are computed when they are asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_fit import CHAINS, DRAWS, make_fit
from scipy import special, stats

from bayesexpr.de_fit import DEFit
from bayesexpr.errors import InputError


@pytest.fixture(scope="module")
def fit(tmp_path_factory: pytest.TempPathFactory) -> DEFit:
    return make_fit(Path(tmp_path_factory.mktemp("fit")), genes=40, seed=3)[0]


def test_log_likelihood_is_that_of_a_count_given_the_others_of_its_gene(fit: DEFit) -> None:
    tree = fit.to_datatree("log_likelihood", genes=["g7"])
    posterior, x = tree["posterior"].to_dataset(), np.repeat([-0.5, 0.5], 4)
    p = {name: posterior[name].to_numpy().astype(float).reshape(CHAINS * DRAWS, -1) for name in ("log_f", "weight")}
    p |= {name: posterior[name].to_numpy().astype(float).ravel() for name in ("alpha", "log_phi", "beta")}
    counts = fit.data.counts[:, list(fit.data.genes).index("g7")]
    terms = []
    for change in (0.0, p["beta"][:, None]):
        mu, phi = np.exp(p["alpha"][:, None] + p["log_f"] + change * x), np.exp(p["log_phi"])[:, None]
        terms.append(stats.nbinom.logpmf(counts, phi, phi / (phi + mu)))
    terms = np.stack(terms, axis=-1)
    whole = terms.sum(axis=1, keepdims=True) + np.log(p["weight"])[:, None]
    expected = special.logsumexp(whole, axis=-1) - special.logsumexp(whole - terms, axis=-1)
    told = tree["log_likelihood"]["counts"].to_numpy().reshape(CHAINS * DRAWS, 8)
    np.testing.assert_allclose(told, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.filterwarnings("ignore:Estimated shape parameter")  # as genes with parameters of their own have
def test_arviz_reads_the_groups(fit: DEFit) -> None:
    from arviz_stats import loo

    tree = fit.to_datatree("log_likelihood", "posterior_predictive", genes=["g7", "g3"])
    found = loo(tree, pointwise=True)
    assert found.n_data_points == 16
    assert np.isfinite(found.elpd)
    assert tree["posterior_predictive"]["counts"].dims == tree["log_likelihood"]["counts"].dims
    assert list(tree["posterior_predictive"]["gene"].to_numpy()) == ["g7", "g3"]


def test_genes_keep_their_draws_in_any_order(fit: DEFit) -> None:
    everyone = fit.to_datatree("log_likelihood")
    some = fit.to_datatree("log_likelihood", genes=["g31", "g2"])
    for name, variable in (("posterior", "beta"), ("log_likelihood", "counts"), ("observed_data", "counts")):
        expected = everyone[name][variable].sel(gene=["g31", "g2"]).to_numpy()
        assert np.array_equal(some[name][variable].to_numpy(), expected)


def test_replicates_are_those_of_the_posterior(fit: DEFit) -> None:
    """300 draws of 8 samples of 40 genes; the mean of the scaled difference is 0 within 6 of its standard errors."""
    drawn = fit.to_datatree("posterior_predictive")["posterior_predictive"]["counts"].to_numpy()
    total = drawn.mean(axis=(0, 1)).sum(axis=0)
    seen = fit.data.counts.sum(axis=0)
    z = (total - seen) / np.sqrt(seen + 0.1 * seen**2 + 1)
    assert abs(z.mean()) < 6 / np.sqrt(z.size)


def test_prior_groups_belong_together(fit: DEFit) -> None:
    """Counts of the same simulation follow its own parameters: rank correlation over 40 simulations of 30 genes."""
    genes = [f"g{k}" for k in range(30)]
    tree = fit.to_datatree("prior", "prior_predictive", genes=genes, prior_draws=40)
    alpha = tree["prior"]["alpha"].to_numpy()[0]
    counts = tree["prior_predictive"]["counts"].to_numpy()[0].mean(axis=1)
    assert tree["prior_predictive"]["counts"].dims == ("chain", "draw", "sample_id", "gene")
    assert stats.spearmanr(alpha.ravel(), counts.ravel()).statistic > 0.9
    assert stats.spearmanr(np.roll(alpha, 1, axis=0).ravel(), counts.ravel()).statistic < 0.5


@pytest.mark.parametrize(
    ("groups", "genes", "words"),
    [
        (("likelihood",), None, "log_likelihood"),
        (("prior",), ["g1", "absent"], "'absent'"),
        (("prior",), [], "none is named"),
    ],
)
def test_what_is_not_there_is_refused(fit: DEFit, groups: tuple[str, ...], genes: list[str] | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        fit.to_datatree(*groups, genes=genes)


def test_too_much_is_refused(fit: DEFit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bayesexpr.de_groups.LARGEST", 1000)
    with pytest.raises(InputError, match="Name fewer genes"):
        fit.to_datatree("prior_predictive", prior_draws=100)
    fit.to_datatree("prior_predictive", prior_draws=100, genes=["g1"])
