"""fit_de's own checks, made before anything is compiled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayesexpr import de as fitting
from bayesexpr.data.counts import CountData
from bayesexpr.de import fit_de
from bayesexpr.de_sampling import NUTS_GENES, Built, DESettings, choose_method
from bayesexpr.errors import BayesexprError, InputError, OptionError
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.models.priors import Exponential, Normal


class CompilingError(Exception):
    """The checks were passed."""


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> CountData:
    def stop(*_: object) -> None:
        raise CompilingError

    monkeypatch.setattr(fitting, "build", stop)
    table = pd.DataFrame({"group": ["a", "b"] * 3, "batch": list("xxyyzz")}, index=[f"s{k}" for k in range(6)])
    counts = np.random.default_rng(1).negative_binomial(5, 0.02, (6, 9))
    return CountData(counts, tuple(f"g{k}" for k in range(9)), tuple(table.index), table)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"tested": "batch"},
        {"size_factors": np.arange(1.0, 7.0)},
        {"size_factors": "tmm"},
        {"options": {"effects": "normal"}, "prior": {"mu_alpha": Normal(3.0, 1.0)}},
        {"seed": 5, "cores": 1},
    ],
)
def test_what_is_right_is_compiled(data: CountData, more: dict[str, Any]) -> None:
    with pytest.raises(CompilingError):
        fit_de(data, "~ batch + group", **more)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"tested": "donor"}, "'donor' is not among"),
        ({"size_factors": np.ones(5)}, "one positive number per sample"),
        ({"size_factors": np.array([1, 1, 1, 1, 1, 0.0])}, "one positive number per sample"),
        ({"size_factors": np.array([1, 1, 1, 1, 1, np.nan])}, "one positive number per sample"),
        ({"size_factors": "rpkm"}, "rpkm"),
        ({"options": {"spike": "no"}}, "no option 'spike'"),
        ({"options": {"density": "cuda"}}, "one of kernel, stan"),
        ({"prior": {"tau": Exponential(1.0)}}, "tau of negative_binomial_de is a half_normal"),
        ({"seed": 0}, "seed"),
        ({"cores": 0}, "cores"),
    ],
)
def test_what_is_wrong_is_not(data: CountData, more: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_de(data, "~ batch + group", **more)


def test_genes_must_have_counts_somewhere(data: CountData) -> None:
    with pytest.raises(BayesexprError):
        fit_de(data.subset_genes(np.zeros(9, dtype=bool)), "~ group")


@pytest.mark.parametrize(
    "wrong", [{"chains": 0}, {"draws": 0}, {"warmup": -1}, {"draws": 2.5}, {"seed": 2**31}, {"starts": "x"}]
)
def test_settings_are_checked_when_they_are_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(wrong))):
        DESettings(**wrong)


def test_given_size_factors_are_relative() -> None:
    """Only their ratios count: the intercepts hold the level."""
    table = pd.DataFrame({"group": ["a", "b"]}, index=["s0", "s1"])
    data = CountData(np.array([[1], [2]]), ("g",), ("s0", "s1"), table)
    assert np.allclose(fitting._factors(data, np.array([2.0, 8.0])), [0.5, 2.0])
    assert np.allclose(fitting._factors(data, np.array([1.0, 4.0])), [0.5, 2.0])


def test_studies_of_many_genes_keep_every_other_iteration() -> None:
    assert [DESettings().thin_for("nuts", genes) for genes in (2_000, 25_000, 25_001)] == [1, 1, 2]
    assert [DESettings().thin_for("blocked", genes) for genes in (2_000, 30_000)] == [4, 4]
    assert DESettings(thin=1).thin_for("blocked", 30_000) == 1
    assert DESettings(thin=3).thin_for("nuts", 100) == 3


def test_threads_of_a_chain_are_those_that_have_work() -> None:
    """Cores that chains leave, one for each 512 genes at most, none where the program is not made for them."""
    made = Built(None, None, True, "", {}, threaded=True)
    eight = DESettings(chains=2, cores=8)
    assert [made.threads(eight, genes) for genes in (10, 512, 513, 1_300, 20_000)] == [1, 1, 2, 3, 4]
    assert [made.threads(DESettings(chains=4, cores=cores), 20_000) for cores in (1, 7, 8)] == [1, 1, 2]
    assert replace(made, threaded=False).threads(eight, 20_000) == 1


def test_the_method_is_chosen_by_size_and_by_what_has_a_kernel() -> None:
    model, plain = NegativeBinomialDE(), NegativeBinomialDE(options={"density": "stan"})
    assert choose_method("auto", model, NUTS_GENES, 8).name == "nuts"
    large = choose_method("auto", model, NUTS_GENES + 1, 8)
    assert large.name == "blocked"
    assert "5,000 genes" in large.reason
    assert choose_method("auto", plain, NUTS_GENES + 1, 8).name == "nuts"
    assert choose_method("auto", model, NUTS_GENES, 400).name == "nuts"
    huge = choose_method("auto", model, 60_000, 100)
    assert huge.name == "eb"
    assert "2,000,000 counts" in huge.reason
    assert choose_method("nuts", model, 60_000, 8).name == "nuts"
    common = NegativeBinomialDE(options={"dispersion": "global"})
    assert choose_method("auto", common, NUTS_GENES + 1, 8).name == "blocked"
    with pytest.raises(OptionError, match="density=stan"):
        choose_method("blocked", plain, 10, 8)
    with pytest.raises(OptionError, match="gibbs"):
        choose_method("gibbs", model, 10, 8)
