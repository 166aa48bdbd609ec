"""Figures that need the draws or the design of a fit, from a saved run with hostile names."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from de_posterior import make
from fake_run import saved_run
from test_effect import GENES, G, a_fit

import bayesexpr as bx
from bayesexpr.chain_plots import PANELS
from bayesexpr.drawing import new_axes
from bayesexpr.errors import InputError
from bayesexpr.posterior.variance_split import ASSIGNMENT, PARTS


@pytest.fixture(scope="module")
def fit(tmp_path_factory: pytest.TempPathFactory) -> bx.DEFit:
    run = saved_run(tmp_path_factory.mktemp("runs") / "run", tmp_path_factory.mktemp("scratch"))
    found = bx.load(run)
    assert isinstance(found, bx.DEFit)
    return found


def test_the_chance_of_a_change_falls_with_its_size(fit: bx.DEFit) -> None:
    effect = fit.contrast("group", "c", "a", lfc_threshold=1.0)
    ax = fit.plot_exceedance(effect, GENES[:3])
    assert len(ax.lines) == 3
    for line, gene in zip(ax.lines, GENES, strict=False):
        t, p = (np.asarray(v, dtype=float) for v in line.get_data())
        assert (np.diff(p) <= 1e-12).all()
        stated = effect.table.set_index("gene").loc[gene, "prob_gt"]
        below, above = p[t <= 1.0].min(), p[t >= 1.0].max()
        assert above - 1e-6 <= stated <= below + 1e-6
    own = new_axes()
    assert fit.plot_exceedance(effect, ax=own) is own
    assert len(own.lines) == 6
    for gene in ("zero", "no such gene"):  # one without a count was not fitted
        with pytest.raises(InputError, match=f"{gene!r} is not one"):
            fit.plot_exceedance(effect, [gene])


def test_a_fit_without_an_answer_is_reported_and_not_plotted(fit: bx.DEFit) -> None:
    mute = dataclasses.replace(fit, genes=fit.genes.assign(status="not_finite"))
    effect = mute.contrast("group", "c", "a")
    assert effect.table["lfdr"].isna().all()
    with pytest.raises(InputError, match="no gene of this fit has an answer"):
        mute.plot_exceedance(effect)
    assert "0 genes are called changed" in mute.sections()["changed"].body


def test_the_variance_is_split_gene_by_gene(fit: bx.DEFit) -> None:
    effect = fit.contrast("group", "c", "a")
    split = fit.variance_split(effect)
    assert tuple(split.columns) == PARTS
    assert list(split.index) == list(GENES)
    fitted = fit.genes["fitted"].to_numpy()
    known = [part for part in PARTS if part != ASSIGNMENT]
    assert (split.loc[fitted, known] > 0).all(axis=None)
    assert split[ASSIGNMENT].isna().all()
    assert split[~fitted].isna().all(axis=None)
    turned = fit.variance_split(fit.contrast("group", "a", "c"))
    np.testing.assert_allclose(split[fitted], turned[fitted])
    own = new_axes()
    assert fit.plot_variance(effect, ax=own) is own
    assert "read assignment: not known" in [text.get_text() for text in own.get_legend().get_texts()]


def test_replicates_of_the_quantification_show_in_the_split_and_in_words(fit: bx.DEFit, tmp_path: Path) -> None:
    counts = fit.data.counts.astype(float)
    unsure = np.zeros(counts.shape)
    unsure[:, 0], unsure[:, 1] = 0.1 * counts[:, 0], 1e4 * counts[:, 1]
    told = dataclasses.replace(fit, data=dataclasses.replace(fit.data, assignment_variance=unsure))
    effect = told.contrast("group", "c", "a")
    split, blind = told.variance_split(effect), fit.variance_split(fit.contrast("group", "c", "a"))
    assert split[ASSIGNMENT].iloc[0] == pytest.approx(0.1 * split["sampling"].iloc[0])
    assert split["biology"].iloc[0] < blind["biology"].iloc[0]
    assert (split["biology"].iloc[1], split[ASSIGNMENT].iloc[2]) == (0, 0)
    others = fit.genes["fitted"].to_numpy() & (np.arange(len(split)) > 1)
    np.testing.assert_allclose(split[others], blind[others].fillna({ASSIGNMENT: 0.0}))
    words = [text.get_text() for text in told.plot_variance(effect).get_legend().get_texts()]
    assert words == ["biology", "read assignment", "sampling", "normalisation"]
    assert "In 1 gene it is more than what samples differ by" in told.sections()["sure"].body
    assert "not known from this input" in fit.sections()["sure"].body
    kept = bx.load(told.save(tmp_path / "run"))
    np.testing.assert_array_equal(kept.data.assignment_variance, unsure)


def test_size_factors_that_are_taken_as_known_are_no_doubt(tmp_path: Path) -> None:
    known = a_fit(make(G, size_factors="fixed"), tmp_path / "posterior")
    split = known.variance_split(known.contrast("group", "c", "a"))[:G]
    assert split["normalisation"].max() < 1e-20
    assert (split["sampling"] > 0).all()


def test_chains_of_what_all_genes_share_are_drawn(fit: bx.DEFit) -> None:
    assert "mu_alpha" in fit.shared
    assert not {"alpha", "beta", "log_phi"} & set(fit.shared)
    for panels in (fit.plot_rank(), fit.plot_trace()):
        assert 0 < len(panels) <= PANELS
    own = new_axes()
    assert fit.plot_energy(ax=own) is own
    mute = dataclasses.replace(fit, diagnostics={**fit.diagnostics, "ebfmi": None})
    with pytest.raises(InputError, match="have no energy"):
        mute.plot_energy()
    assert "Do the chains explore the same?" in fit.sections()["trust"].body


def test_intervals_are_those_of_the_called_genes(fit: bx.DEFit) -> None:
    effect = fit.contrast("group", "c", "a", ci=0.9)
    ax = effect.plot_intervals()
    assert "90 % interval" in ax.get_ylabel()
    called = int(effect.calls().called.sum())
    assert sum(len(c.get_segments()) for c in ax.collections) == called
