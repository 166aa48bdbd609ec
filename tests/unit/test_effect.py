"""A contrast's table from a posterior on disk; run folders; saved and loaded fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from de_posterior import CHAINS, DRAWS, Made, make
from fake_analysis import HOSTILE
from test_store import write

from bayesexpr.data.counts import CountData
from bayesexpr.de_fit import DEFit
from bayesexpr.de_folder import KIND, load
from bayesexpr.effect import compute_effect, exceedance_curve
from bayesexpr.errors import DesignError, InputError
from bayesexpr.names import RESULT_COLUMNS, to_log2
from bayesexpr.posterior.store import POSTERIOR
from bayesexpr.posterior.verdict import judge
from bayesexpr.run import RUN_RECORD, write_run

NAMES = [*(name for name in HOSTILE if "\n" not in name), "NA", "nan", "007", "1e5"]
GENES = [*NAMES, "zero"]
G = len(NAMES)


def gene_table(fitted: np.ndarray[Any, Any]) -> pd.DataFrame:
    n = len(fitted)
    numbers = {name: np.where(fitted, 1.0 + np.arange(n), np.nan) for name in ("dispersion", "rhat")}
    ess = {name: np.where(fitted, 900.0, np.nan) for name in ("ess_bulk", "ess_tail")}
    status = np.where(fitted, "ok", "all_zero").astype(object)
    columns = {"gene": GENES[:n], "baseMean": np.arange(float(n)), **numbers, **ess, "status": status}
    return pd.DataFrame({**columns, "fitted": fitted})


def a_fit(made: Made, folder: Path) -> DEFit:
    """A fit of the genes with hostile names and of one gene without a count."""
    folder.mkdir(parents=True, exist_ok=True)
    write(made, folder / POSTERIOR, NAMES)
    fitted = np.append(np.ones(G, dtype=bool), False)
    genes = gene_table(fitted)
    counts = np.column_stack([made.full["count"], np.zeros(made.full["S"], dtype=int)])
    table = pd.DataFrame(
        {
            "group": pd.Categorical(np.repeat(["a", "b", "c"], 4), made.plan.levels["group"]),
            "batch": pd.Categorical(["x", "y"] * 6),
        },
        index=pd.Index(made.plan.samples, name="sample"),
    )
    hyper = pd.DataFrame({"mean": [1.0], "sd": [1.0], "rhat": [1.0], "ess_bulk": [900.0], "ess_tail": [900.0]}, ["x"])
    verdict = judge(
        status=genes["status"].to_numpy(),
        hyperparameters=hyper,
        divergences=0,
        ebfmi=np.ones(CHAINS),
        saturated=0,
        n_chains=CHAINS,
        n_draws=DRAWS,
    )
    return DEFit(
        folder=folder,
        data=CountData(counts, tuple(GENES), made.plan.samples, table),
        design=made.plan,
        genes=genes,
        verdict=verdict,
        diagnostics={"divergences": 0},
        record={"kind": KIND, "program": "negative_binomial_de", "design": "~ batch + group", "tested": "group"},
        warnings=("One thing to know.",),
    )


@pytest.fixture
def made() -> Made:
    return make(G)


@pytest.fixture
def fit(made: Made, tmp_path: Path) -> DEFit:
    return a_fit(made, tmp_path / "posterior")


# the table


def test_every_gene_has_its_row(fit: DEFit) -> None:
    table = fit.contrast("group", "c", "a").table
    assert tuple(table.columns) == RESULT_COLUMNS
    assert table["gene"].tolist() == GENES
    assert table["status"].tolist() == ["ok"] * G + ["all_zero"]
    numbers = table.drop(columns=["gene", "status", "baseMean"])
    assert not numbers.iloc[:G].isna().any().any()
    assert numbers.iloc[G].isna().all()
    assert (table["lfsr"][:G] > 0).all()


def test_means_are_over_draws_and_components(made: Made, fit: DEFit) -> None:
    """By hand: the sum over components of probability times value, in log2."""
    from bayesexpr.posterior.store import read_blocks

    (block,) = read_blocks(fit.folder / POSTERIOR)
    contrast = made.plan.contrast(("group", "b", "a"))
    weights = contrast.weights[made.plan.tested_columns]
    per_component = np.einsum("k,ckl,adgl->adgc", weights, made.full["component"], block.beta.astype(float))
    mean = (block.probability * per_component).sum(axis=-1).mean(axis=(0, 1))
    second = (block.probability * per_component**2).sum(axis=-1).mean(axis=(0, 1))
    table = fit.contrast("group", "b", "a").table[:G]
    assert np.allclose(table["log2FoldChange"], to_log2(mean), atol=1e-6)
    assert np.allclose(table["lfcSE"], to_log2(np.sqrt(second - mean**2)), atol=1e-5)


def test_the_two_directions_mirror_each_other(fit: DEFit) -> None:
    up, down = fit.contrast("group", "c", "a").table[:G], fit.contrast("group", "a", "c").table[:G]
    assert np.allclose(up["log2FoldChange"], -down["log2FoldChange"])
    assert np.allclose(up["ci_lower"], -down["ci_upper"])
    for column in ("lfcSE", "prob_gt", "lfsr", "lfdr", "qvalue"):
        assert np.allclose(up[column], down[column]), column


def test_contrasts_of_three_levels_add_up(fit: DEFit) -> None:
    ba, cb, ca = (fit.contrast("group", *p).table["log2FoldChange"][:G] for p in (("b", "a"), ("c", "b"), ("c", "a")))
    assert np.allclose(ba + cb, ca, atol=1e-6)


def test_the_order_of_the_levels_is_no_reference(tmp_path: Path) -> None:
    """The same posterior, turned into the basis of another order of levels, gives the same table."""
    first, second = make(G), make(G, levels=("c", "a", "b"))
    one, two = (np.array([m.full["design"][4 * k] for k in range(3)]) for m in (first, second))
    turn = np.linalg.lstsq(two, one, rcond=None)[0]
    moved = [turn @ p @ turn.T for p in first.full["component"]]
    match = [next(k for k, p in enumerate(second.full["component"]) if np.allclose(p, m, atol=1e-9)) for m in moved]
    fits = [a_fit(first, tmp_path / "one"), a_fit(second, tmp_path / "two")]
    import zarr

    source = zarr.open_group(fits[0].folder / POSTERIOR, mode="r", zarr_format=2)["posterior"]
    target = zarr.open_group(fits[1].folder / POSTERIOR, mode="a", zarr_format=2)["posterior"]
    target["beta"][:] = np.einsum("kl,adgl->adgk", turn, source["beta"][:])
    probability = np.empty_like(source["probability"][:])
    probability[..., match] = source["probability"][:]
    target["probability"][:] = probability
    for pair in (("b", "a"), ("c", "a"), ("c", "b")):
        tables = [f.contrast("group", *pair).table.drop(columns=["gene", "status"]) for f in fits]
        assert np.allclose(tables[0], tables[1], atol=1e-5, equal_nan=True)


def test_thresholds_and_intervals_are_used(fit: DEFit) -> None:
    wide = fit.contrast("group", "c", "a", lfc_threshold=0.0, rope=0.0, ci=0.99)
    narrow = fit.contrast("group", "c", "a", lfc_threshold=2.0, rope=1.0, ci=0.5)
    a, b = wide.table[:G], narrow.table[:G]
    assert (a["prob_gt"] > b["prob_gt"]).all()
    assert (a["lfdr"] < b["lfdr"]).all()
    assert (a["ci_upper"] - a["ci_lower"] > b["ci_upper"] - b["ci_lower"]).all()
    assert (wide.rope, narrow.rope, narrow.ci, narrow.lfc_threshold) == (0.0, pytest.approx(1.0), 0.5, 2.0)
    assert fit.contrast("group", "c", "a").rope == pytest.approx(np.log2(1.1))


def test_threads_change_nothing(made: Made, fit: DEFit) -> None:
    arguments = (fit.folder / POSTERIOR, fit.genes, made.plan, fit.projectors, made.plan.contrast(("group", "c", "a")))
    more = {"lfc_threshold": 1.0, "rope": None, "ci": 0.9, "unchanged": None}
    one, four = (compute_effect(*arguments, **more, threads=n).table for n in (1, 4))
    pd.testing.assert_frame_equal(one, four)


def test_a_curve_starts_at_the_probability_of_a_change_and_falls(fit: DEFit) -> None:
    effect = fit.contrast("group", "c", "a", lfc_threshold=0.7)
    curve = exceedance_curve(fit, effect.contrast, np.array([4, 1]), np.array([0.0, 0.7, 3.0]))
    assert curve.shape == (3, 2)
    assert (np.diff(curve, axis=0) <= 0).all()
    assert np.allclose(curve[1], effect.table["prob_gt"][[4, 1]], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "more", "error"),
    [
        (("group", "z", "a"), {}, DesignError),
        (("dose", "a", "b"), {}, DesignError),
        (("group", "a", "b"), {"ci": 1.0}, InputError),
        (("group", "a", "b"), {"ci": float("nan")}, InputError),
        (("group", "a", "b"), {"lfc_threshold": -1.0}, InputError),
        (("group", "a", "b"), {"rope": float("nan")}, InputError),
    ],
)
def test_bad_questions(fit: DEFit, arguments: tuple[str, ...], more: dict[str, float], error: type[Exception]) -> None:
    with pytest.raises(error):
        fit.contrast(*arguments, **more)


# saved and loaded


def test_a_saved_fit_answers_as_before(fit: DEFit, tmp_path: Path) -> None:
    target = fit.save(tmp_path / "run")
    back = load(target)
    for spec in (("group", "c", "a"), ("batch", "y", "x")):
        pd.testing.assert_frame_equal(back.contrast(*spec).table, fit.contrast(*spec).table)
    assert back.data.genes == fit.data.genes
    assert np.array_equal(back.data.counts, fit.data.counts)
    assert back.design.column_names == fit.design.column_names
    assert back.verdict == fit.verdict
    assert back.warnings == fit.warnings
    assert back.unchanged == fit.unchanged
    assert [f.name for f in tmp_path.iterdir() if f.name.startswith(".")] == []


def test_a_run_is_read_by_others(fit: DEFit, tmp_path: Path) -> None:
    record = json.loads((fit.save(tmp_path / "run") / RUN_RECORD).read_text(encoding="utf-8"))
    assert record["kind"] == KIND
    assert record["sample_table"]["index"] == list(fit.data.samples)
    table = pd.read_csv(tmp_path / "run" / "genes.csv", keep_default_na=False)
    assert len(table) == len(GENES)


def damage(folder: Path, what: str) -> None:
    files = {"record": RUN_RECORD, "diagnostics": "diagnostics.json", "study": "study.npz", "genes": "genes.csv"}
    (folder / files[what]).write_bytes(b"\x00 no longer what it was")


@pytest.mark.parametrize("what", ["record", "diagnostics", "study", "genes"])
def test_a_damaged_run_is_refused(fit: DEFit, tmp_path: Path, what: str) -> None:
    target = fit.save(tmp_path / "run")
    damage(target, what)
    with pytest.raises(InputError, match="not a finished run"):
        load(target)


# run folders


def test_a_run_takes_its_place_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er" / "run"
    with write_run(target) as part:
        (part / RUN_RECORD).write_text("first")
        assert not target.exists()
        assert part.parent == target.parent
    assert (target / RUN_RECORD).read_text() == "first"
    assert [f.name for f in target.parent.iterdir()] == ["run"]
    assert target.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_earlier_run(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "run"
    with write_run(target) as part:
        (part / RUN_RECORD).write_text("first")

    def fail() -> None:
        with write_run(target) as part:
            (part / RUN_RECORD).write_text("second")
            raise error

    with pytest.raises(error):
        fail()
    assert (target / RUN_RECORD).read_text() == "first"
    assert [f.name for f in tmp_path.iterdir()] == ["run"]


def test_a_failure_leaves_no_folder_that_was_not_there(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), write_run(tmp_path / "a" / "b" / "run"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "run"
    for text in ("first", "second"):
        with write_run(target) as part:
            (part / RUN_RECORD).write_text(text)
            (part / f"{text}.txt").touch()
    assert {f.name for f in target.iterdir()} == {RUN_RECORD, "second.txt"}
    assert [f.name for f in tmp_path.iterdir()] == ["run"]


def test_what_is_no_run_is_left_alone(tmp_path: Path) -> None:
    folder, file, link = tmp_path / "mine", tmp_path / "file", tmp_path / "link"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    file.write_text("a file")
    link.symlink_to(tmp_path / "nowhere")
    for target in (folder, file, link, tmp_path / "absent" / ".." / "mine"):
        with pytest.raises(InputError, match="left as it is"), write_run(target):
            pytest.fail("the block was entered")
    assert (folder / "thesis.txt").read_text() == "years of work"
    assert file.read_text() == "a file"
    assert link.is_symlink()
    (tmp_path / "empty").mkdir()
    with write_run(tmp_path / "empty") as part:
        (part / RUN_RECORD).touch()
    assert (tmp_path / "empty" / RUN_RECORD).exists()


@pytest.mark.parametrize("here", [".", "../here", "new/../../here"])
def test_the_folder_one_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with write_run(Path(here)) as part:
        (part / RUN_RECORD).write_text("done")
    assert (tmp_path / "here" / RUN_RECORD).read_text() == "done"
    assert [f.name for f in tmp_path.iterdir()] == ["here"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"), write_run(tmp_path / "file" / "run"):
        pytest.fail("the block was entered")
