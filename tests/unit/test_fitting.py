"""fit, Fit and load, by the closed forms that need no Stan; and hostile files of data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import bayesexpr as bx
from bayesexpr.errors import InputError, OptionError
from bayesexpr.fitting import fit, load
from bayesexpr.models import registry
from bayesexpr.models.priors import Beta, LogNormal
from bayesexpr.posterior.importance import pareto_k
from bayesexpr.posterior.parameter_verdict import judge_approximation, judge_exact, judge_parameters
from bayesexpr.program_fit import Fit, outcome_variable, parameter_table

ONE = {"count": [500], "total": [20_000_000]}


def exact(data: dict[str, Any] | Path = ONE, **more: Any) -> Fit:
    return fit("beta_binomial", data, method="exact", seed=1, **more)


def test_a_fit_has_arviz_groups_and_labels() -> None:
    data = {"expression": np.random.default_rng(1).normal(size=(6, 3)), "design": [[0.0], [1.0]] * 3}
    tree = fit("gaussian_linear", data, method="exact", seed=1, chains=2, draws=50).posterior
    assert {"posterior", "sample_stats", "observed_data", "constant_data"} <= set(tree.children)
    assert tree["posterior"]["effect"].dims == ("chain", "draw", "gene", "coefficient")
    assert tree["observed_data"]["expression"].dims == ("sample_id", "gene")
    assert tree["constant_data"]["design"].dims == ("sample_id", "coefficient")
    assert exact().posterior["observed_data"]["counts"].to_numpy().tolist() == [500]


def test_the_same_seed_gives_the_same_draws() -> None:
    a, b = exact(), exact()
    assert np.array_equal(a.draws("theta"), b.draws("theta"))
    other = fit("beta_binomial", ONE, method="exact", seed=2)
    assert not np.array_equal(a.draws("theta"), other.draws("theta"))
    drawn = [fit("beta_binomial", ONE, method="exact").record["settings"]["seed"] for _ in range(3)]
    assert len(set(drawn)) == 3


def test_groups_on_demand() -> None:
    found = exact(chains=2, draws=100).add("log_likelihood", "posterior_predictive", seed=3)
    lik = found.posterior["log_likelihood"]["counts"]
    rep = found.posterior["posterior_predictive"]["counts"]
    assert lik.shape == rep.shape == (2, 100, 1)
    assert float(lik.max()) < 0
    assert 400 < float(rep.mean()) < 600
    with pytest.raises(InputError, match="a group is one of"):
        found.add("sample")


PRIOR_OF: dict[str, dict[str, Any]] = {
    "beta_binomial": {"count": [5, 0], "total": [100, 70]},
    "gamma_poisson": {"count": [5], "effective_length": [700], "total": 2e4, "transcriptome_length": 1e4},
    "dirichlet_multinomial": {"count": [150, 25, 40]},
    "transcript_compatibility": {"count": [7, 5], "compatibility": [[0, 0], [0, 1], [1, 1]]},
    "hierarchical_expression": {"count": [[1, 2, 3], [4, 5, 6]]},
    "negative_binomial_de": {"count": [[1, 2, 3], [4, 5, 6], [7, 8, 9]], "design": [[-0.5], [0.5], [0.5]]},
    "zero_inflated_negative_binomial": {"count": [[1, 2, 3], [4, 5, 6]]},
    "gaussian_linear": {"expression": [[5.0, 6.0], [5.5, 6.5], [4.0, 9.0]], "design": [[0.0], [1.0], [1.0]]},
    "variance_components": {"expression": [[[1.0, 2.0], [1.1, 2.1]], [[1.5, 2.5], [1.2, 2.2]]]},
    "adaptive_shrinkage": {"estimate": [1.0, 2.0, 3.0], "standard_error": [1.0, 0.5, 2.0]},
    "spike_in": {"count": [[5, 9, 3]], "molecules": [[10.0, 20.0, 0.0]]},
    "langmuir": {"intensity": [5.0, 9.0, 100.0], "concentration": [0.0, 1.0, 0.0], "unknown": [-1, -1, 0]},
    "coverage_decay": {"count": [100, 50], "distance": [0.0, 500.0]},
}


@pytest.mark.parametrize("name", registry.names())
def test_every_program_gives_prior_and_prior_predictive(name: str) -> None:
    # from the user's data alone: the outcome's shape, the prior's law, and no word of what was observed
    model, data = registry.get(name)(), PRIOR_OF[name]
    empty = xr.DataTree.from_dict({"posterior": xr.Dataset()})
    found = Fit(model, data, empty, judge_exact(), {}, {}).add("prior", "prior_predictive", prior_draws=20, seed=2)
    outcome = np.asarray(data[model.OUTCOME])
    drawn = found.posterior["prior_predictive"][outcome_variable(model)]
    assert drawn.shape == (1, 20, *outcome.shape)
    assert drawn.dims[2:] == model.DIMS[model.OUTCOME]
    prior = found.posterior["prior"]
    assert set(prior.data_vars) <= set(model.PARAMETERS)
    assert len(prior.data_vars) >= 1
    assert np.isfinite(drawn.to_numpy()).all()
    other = {**data, model.OUTCOME: (outcome * 2 if name != "dirichlet_multinomial" else outcome[::-1]).tolist()}
    if name not in ("transcript_compatibility", "adaptive_shrinkage"):  # total and grid of scales follow the data
        again = Fit(model, other, empty, judge_exact(), {}, {}).add("prior_predictive", prior_draws=20, seed=2)
        assert np.array_equal(again.posterior["prior_predictive"][drawn.name], drawn)


def test_the_prior_group_has_the_prior_s_law(tmp_path: Path) -> None:
    found = exact(prior={"theta": "beta(2, 5)"}, prior_draws=2000, output_dir=tmp_path / "run")
    for made in (found, load(tmp_path / "run")):
        theta = made.posterior["prior"]["theta"].to_numpy().ravel()
        assert stats.kstest(theta, stats.beta(2, 5).cdf).pvalue > 1e-3  # seed 1
        counts = made.posterior["prior_predictive"]["counts"].to_numpy().ravel()
        assert np.corrcoef(theta, counts)[0, 1] > 0.999  # the same draws
    assert "prior" not in exact().posterior
    with pytest.raises(InputError, match="at least one draw"):
        found.add("prior", prior_draws=0)


def test_a_run_is_saved_whole_and_read_back(tmp_path: Path) -> None:
    prior = Beta(1 / 3, 7.000000000000001)
    made = exact(prior={"theta": prior}, output_dir=tmp_path / "run")
    files = {f.name for f in (tmp_path / "run").iterdir()}
    assert files == {"run.json", "data.json", "diagnostics.json", "posterior.zarr"}
    assert [f.name for f in tmp_path.iterdir()] == ["run"]
    back = load(tmp_path / "run")
    assert isinstance(back, Fit)
    assert back.model == made.model or back.model.prior("theta") == prior
    assert np.array_equal(back.draws("theta"), made.draws("theta"))
    assert back.verdict == made.verdict
    assert back.record == json.loads((tmp_path / "run" / "run.json").read_text())
    assert back.record["status"] == "done"
    assert len(back.record["inputs_digest"]) == 64
    assert back.add("log_likelihood").posterior["log_likelihood"]["counts"].shape == (4, 1000, 1)
    made.save(tmp_path / "run")  # again, over the first


def test_saving_leaves_other_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="is not a run"):
        exact().save(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_damaged_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a finished run"):
        load(tmp_path)
    exact().save(tmp_path / "run")
    (tmp_path / "run" / "diagnostics.json").write_text("{")
    with pytest.raises(InputError, match="not a finished run"):
        load(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text("[1]")
    with pytest.raises(InputError, match="not a finished run"):
        load(tmp_path / "run")


def test_the_digest_follows_the_data_and_the_prior() -> None:
    digests = {
        exact().record["inputs_digest"],
        exact(dict(ONE, count=[501])).record["inputs_digest"],
        exact(prior={"theta": "beta(1, 1)"}).record["inputs_digest"],
    }
    assert len(digests) == 3
    assert exact().record["inputs_digest"] in digests


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "gibbs"}, "a method is one of nuts"),
        ({"chains": 0}, "chains is an integer of at least 1"),
        ({"draws": 2.5}, "draws is an integer"),
        ({"seed": -1}, "seed is an integer"),
        ({"prior": {"theta": LogNormal(0.0, 1.0)}}, "prior theta of beta_binomial is a beta"),
        ({"prior": {"theta": "beta(1)"}}, r"beta takes \(a, b\)"),
        ({"prior": {"mu": "beta(1, 1)"}}, "has no prior 'mu'"),
        ({"options": {"shape": "round"}}, "has no option 'shape'"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        fit("beta_binomial", ONE, **{"method": "exact", **settings})


HOSTILE = [
    ('{"count": [500], "total": [NaN]}', "holds NaN"),
    ('{"count": [-Infinity], "total": [1]}', "holds -Infinity"),
    ('{"count": [1e999], "total": [1]}', r"count\[0\] is inf"),
    ('{"count": [4294967296], "total": [4294967296]}', r"count\[0\] is 4294967296"),
    ('{"count": [' + "9" * 5000 + '], "total": [1]}', "an integer of 5000 digits"),
    ('{"count": [1], "count": [2], "total": [3]}', "'count' occurs again"),
    ('{"count": ' + "[" * 100_000 + "]" * 100_000 + ', "total": [1]}', "nest too deeply"),
    ('{"count": ' + "[" * 50 + "1" + "]" * 50 + ', "total": [1]}', "nested list"),
    ('{"count": {"a": 1}, "total": [1]}', "count is a nested dict"),
    ('{"count": [1], "total": [1]', "is not JSON"),
    ("[1, 2]", "holds one JSON object"),
    ('{"count": [7], "total": [3]}', r"count\[0\] is 7 of total\[0\] = 3"),
    ('{"count": "12", "total": [3]}', "count is '12'"),
    ('{"\\u001b[31m' + "x" * 500 + '": 1, "count": [1], "total": [3]}', "does not know data"),
]


@pytest.mark.parametrize(("text", "message"), HOSTILE)
def test_hostile_data_get_one_clear_error(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        exact(file)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_data_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(ONE).encode())  # a byte order mark is no obstacle
    assert np.array_equal(exact(file).draws("theta"), exact().draws("theta"))
    with pytest.raises(InputError, match="cannot be read"):
        exact(tmp_path / "absent.json")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        exact(file)


def test_pareto_k_tells_near_from_far() -> None:
    # seed 1, 4000 draws of an approximation: of the posterior width, 5 % and 60 % narrower
    z = np.random.default_rng(1).normal(size=4000)

    def ratios(width: float) -> Any:
        return -((width * z) ** 2) / 2 + z**2 / 2

    assert pareto_k(ratios(1.0)) == 0
    assert pareto_k(ratios(0.95)) < 0.5
    assert pareto_k(ratios(0.4)) > 0.7
    assert pareto_k([0.0, np.inf] * 50) == float("inf")
    assert pareto_k([0.0] * 10) == float("inf")
    assert judge_approximation("laplace", 0.2).level == "trustworthy"
    assert judge_approximation("laplace", 0.6).level == "use with care"
    assert not judge_approximation("laplace", 1.2).passed
    assert not judge_approximation("laplace", float("inf")).passed


def test_a_verdict_names_the_worst_parameter() -> None:
    rng = np.random.default_rng(2)
    good = {"a": rng.normal(size=(4, 1000)), "b": rng.normal(size=(4, 1000, 3))}
    sound = judge_parameters(parameter_table(good), divergences=0, ebfmi=[1.0] * 4, n_chains=4, n_draws=1000)
    assert sound.level == "trustworthy"
    bad = {**good, "a": good["a"] + np.arange(4)[:, None]}
    verdict = judge_parameters(parameter_table(bad), divergences=0, ebfmi=[1.0] * 4, n_chains=4, n_draws=1000)
    assert not verdict.passed
    assert "a mixes worst" in verdict.summary
    some = judge_parameters(parameter_table(good), divergences=3, ebfmi=[0.25] * 4, n_chains=4, n_draws=1000)
    assert some.level == "use with care"
    lost = {**good, "a": np.full((4, 1000), np.nan)}
    assert not judge_parameters(parameter_table(lost), divergences=0, ebfmi=[1.0], n_chains=4, n_draws=1000).passed


def test_the_table_has_a_row_per_quantity() -> None:
    table = exact({"count": [1, 2], "total": [10, 10]}).parameters
    assert list(table.index) == ["theta[0]", "theta[1]", "logit_theta[0]", "logit_theta[1]"]
    assert isinstance(exact().posterior, xr.DataTree)


def test_what_is_simulated_can_be_fitted() -> None:
    truth, data = bx.simulate("beta_binomial", {"total": [1000] * 200}, prior={"theta": "beta(2, 8)"}, seed=1)
    found = bx.fit("beta_binomial", data, prior={"theta": Beta(2, 8)}, method="exact", seed=1)
    low, high = np.quantile(found.draws("theta"), [0.05, 0.95], axis=0)
    inside = ((low < truth["theta"]) & (truth["theta"] < high)).mean()
    assert abs(inside - 0.9) < 3 * (0.09 / 200) ** 0.5
    again = bx.simulate("beta_binomial", {"total": [1000] * 200}, prior={"theta": "beta(2, 8)"}, seed=1)[1]
    assert np.array_equal(again["count"], data["count"])
    assert set(bx.simulate("langmuir", seed=2)[1]) == {"concentration", "probe", "array", "unknown", "intensity"}


def test_a_folder_of_several_runs_names_them(tmp_path: Path) -> None:
    for name in ("s2", "s1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
    (tmp_path / "run.json").write_text('{"kind": "quantification"}')
    with pytest.raises(InputError, match=r"of kind 'quantification'. Name one of the runs in it: s1, s2\."):
        bx.load(tmp_path)
