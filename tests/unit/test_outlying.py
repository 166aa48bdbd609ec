"""What a fit says of outlying counts: the same as its check, and from the suspects alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_fit import make_fit
from study_of_genes import simulate

from bayesexpr.calibration.checking import check_study
from bayesexpr.calibration.fitted_study import FittedStudy
from bayesexpr.de_digest import screened_tails
from bayesexpr.de_fit import DEFit
from bayesexpr.empirical_bayes import outlying as outlying_module
from bayesexpr.empirical_bayes.leave_one_out import leave_one_out
from bayesexpr.empirical_bayes.outlying import ASIDE, SUSPECT, confirmed_tails, outlying

PLANTED = ((0, 3), (5, 20), (7, 41))
"""Sample and gene of counts made twenty times as large."""


def plant(counts: np.ndarray) -> None:
    for cell in PLANTED:
        counts[cell] = 20 * max(counts[cell], 20)


def at_fit_time(fit: DEFit) -> tuple[np.ndarray, np.ndarray]:
    """Screened tails of all counts, as a fit computes them, and what it calls outlying."""
    fitted = FittedStudy.of(fit)
    hyper = {name: values[None] for name, values in fitted.hyper.items()}
    screened = np.concatenate([screened_tails(block, hyper, fitted.full) for block in fitted.blocks()], axis=1)
    return screened, outlying(confirmed_tails(fitted.study(), fitted.hyper_for_integrals(), screened))


def test_fit_and_check_list_the_same_counts(tmp_path: Path) -> None:
    """60 genes x 8 samples, three counts x 20, seed 1."""
    fit, _ = make_fit(tmp_path / "planted", spoil=plant)
    screened, far = at_fit_time(fit)
    listed = check_study(fit).outliers
    names = {(f"s{s}", f"g{g}") for s, g in np.argwhere(far)}
    assert names == set(zip(listed["sample"], listed["gene"], strict=True))
    assert names >= {(f"s{s}", f"g{g}") for s, g in PLANTED}
    assert len(names) <= len(PLANTED) + 1
    for s, g in PLANTED:
        assert screened[:, g].min() < SUSPECT
        assert screened[s, g] < ASIDE


def test_a_clean_study_has_none(tmp_path: Path) -> None:
    assert not at_fit_time(make_fit(tmp_path / "clean")[0])[1].any()


def test_a_gene_is_judged_alike_among_any_others() -> None:
    """Seed 3: 40 genes x 6 samples; the tails of five of them, alone and among all, on one thread and on two."""
    made = simulate(40, 6, np.random.default_rng(3))
    whole = leave_one_out(made.study, made.hyper, 1)
    some = np.array([4, 9, 17, 33, 38])
    part = leave_one_out(made.study.subset(some), made.hyper, 1, genes=some, threads=2)
    np.testing.assert_allclose(part.elpd, whole.elpd[:, some], rtol=1e-9)
    np.testing.assert_allclose(part.pareto_k, whole.pareto_k[:, some], atol=1e-6)
    # the control: under other numbers the genes get other points
    other = leave_one_out(made.study.subset(some), made.hyper, 1)
    assert np.abs(other.elpd - whole.elpd[:, some]).max() > 1e-6


def test_a_count_is_judged_alike_among_any_others() -> None:
    """Seed 3: 40 genes x 6 samples; 24 counts alone, as many among them in a gene as there are, and all of them."""
    made = simulate(40, 6, np.random.default_rng(3))
    whole = leave_one_out(made.study, made.hyper, 1)
    cells = np.random.default_rng(4).random((6, 40)) < 0.1
    cells[:, 7] = True
    part = leave_one_out(made.study, made.hyper, 1, cells=cells)
    for name in ("elpd", "pareto_k", "variance", "expected"):
        found, all_found = getattr(part, name), getattr(whole, name)
        np.testing.assert_allclose(found[cells], all_found[cells], rtol=1e-9, atol=1e-9)
        assert np.isnan(found[~cells]).all()


def test_only_suspects_are_integrated() -> None:
    """Seed 3: looked at are counts that few draws doubt, and others aside of the middle in the same genes."""
    made = simulate(12, 6, np.random.default_rng(3))
    screened = np.ones((6, 12))
    assert (confirmed_tails(made.study, made.hyper, screened) == 1).all()
    screened[2, 7] = screened[4, 5] = screened[0, 5] = SUSPECT / 2
    screened[1, 5] = screened[1, 9] = (SUSPECT + ASIDE) / 2  # of a suspect gene, and of one that is not
    screened[:, 3] = np.nan
    tails = confirmed_tails(made.study, made.hyper, screened)
    doubted = screened < SUSPECT
    doubted[1, 5] = True
    assert (tails[doubted] < 1).all()
    assert (tails[~doubted] == 1).all()


def test_tails_that_the_rough_look_cannot_tell_get_the_close_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seed 3: a rough look that finds no number of one count, and nothing in another: the first is looked at again."""
    made = simulate(12, 6, np.random.default_rng(3))
    looks: list[Any] = []

    def look(*given: Any, **options: Any) -> Any:
        found = leave_one_out(*given, **options)
        looks.append(options["cells"].sum())
        if len(looks) == 1:
            tail = np.where(options["cells"], 0.5, found.tail)
            tail[2, 0] = np.nan
            return dataclasses.replace(found, tail=tail)
        return found

    monkeypatch.setattr(outlying_module, "leave_one_out", look)
    screened = np.ones((6, 12))
    screened[2, 5] = screened[4, 7] = SUSPECT / 2
    tails = confirmed_tails(made.study, made.hyper, screened)
    assert looks == [2, 1]
    assert np.isfinite(tails).all()
    assert tails[4, 7] == 0.5
