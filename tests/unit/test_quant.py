"""Quantification up to the fit: data of the program, names of samples, sets without a fit, a whole transcriptome."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from bayesexpr.data.equivalence import read_equivalence_classes
from bayesexpr.errors import InputError
from bayesexpr.models.transcript_compatibility import TranscriptCompatibility
from bayesexpr.posterior.parameter_verdict import judge_exact
from bayesexpr.program_fit import Fit
from bayesexpr.quant import identifiable_transcripts, model_data, quantify, set_table

CLASSES = "4\t3\ta\tb\tc\td\t2 0 1 10\t1 0 4\t1 2 0"
QUANT = "Name\tLength\tEffectiveLength\tTPM\tNumReads\n" + "".join(
    f"{n}\t500\t{400 + i}\t1\t1\n" for i, n in enumerate("abcd")
)


def folder(root: Path, name: str, classes: str = CLASSES, quant: str | None = QUANT) -> Path:
    place = root / name
    (place / "aux_info").mkdir(parents=True)
    (place / "aux_info" / "eq_classes.txt").write_text("\n".join(classes.split("\t")) + "\n")
    if quant is not None:
        (place / "quant.sf").write_text(quant)
    return place


def test_classes_without_fragments_are_left_out(tmp_path: Path) -> None:
    data = model_data(read_equivalence_classes(folder(tmp_path, "s")))
    np.testing.assert_array_equal(data["count"], [10, 4])
    np.testing.assert_array_equal(data["compatibility"], [[0, 0], [0, 1], [1, 0]])
    np.testing.assert_array_equal(data["transcript_length"], [400, 401, 402, 403])
    assert "weight" not in data
    assert TranscriptCompatibility().complete(data)["rate"].shape == (2, 4)


def test_weights_are_taken_per_position(tmp_path: Path) -> None:
    """The tool's weights have 1 / length in them: the expected fragments per unit of lambda are weight x length."""
    text = "2\t1\ta\tb\t2 0 1 0.25 0.75 10"
    data = model_data(read_equivalence_classes(folder(tmp_path, "s", text)))
    np.testing.assert_allclose(data["weight"], [0.25 * 400, 0.75 * 401])


def test_lengths_and_fragments_are_needed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"effective lengths are needed .*name it with lengths"):
        quantify([folder(tmp_path, "s", quant=None)])
    with pytest.raises(InputError, match="must have fragments"):
        quantify([folder(tmp_path, "t", CLASSES.replace("1 10", "1 0").replace("0 4", "0 0"))])
    with pytest.raises(InputError, match="at least one folder"):
        quantify([])
    with pytest.raises(InputError, match="between 0 and 1; it is 95"):
        quantify([tmp_path / "s"], ci=95)


def test_samples_are_named_after_their_folders(tmp_path: Path) -> None:
    first, second = folder(tmp_path, "x/s"), folder(tmp_path, "y/s")
    with pytest.raises(InputError, match="'s' occurs 2 times"):
        quantify([first / "aux_info" / "eq_classes.txt", second])


def test_sets_are_told_without_a_fit(tmp_path: Path) -> None:
    text = "4\t3\ta\tb\tc\td\t2 0 1 10\t1 2 4\t3 0 1 2 7"
    table = identifiable_transcripts(folder(tmp_path, "s", text))
    assert table["identifiable"].tolist() == [False, False, True, True]
    assert table["set"].isna().tolist() == [False, False, True, True]
    assert table["set"][0] == table["set"][1]
    assert table["fragments"].tolist() == [17, 17, 11, 0]


def test_a_block_of_20_000_transcripts_has_its_coordinates_in_seconds() -> None:
    """Every transcript shares classes with its neighbours (seed 1): one block, one tree, within 40 s of CPU time."""
    rng, n = np.random.default_rng(1), 20_000
    start = np.repeat(np.arange(n - 1), 2)
    chained = np.stack(
        [np.tile(np.arange(2 * (n - 1)), 2), np.concatenate([start, start + rng.integers(0, 2, len(start))])]
    )
    pairs = np.unique(chained.T, axis=0)
    pairs = np.concatenate([pairs, np.stack([np.full(n, 2 * n - 2), np.arange(n)], axis=1)])  # and one fits them all
    data = {"count": rng.poisson(30, 2 * n - 1), "compatibility": pairs, "transcript_length": rng.uniform(200, 3000, n)}
    before = time.process_time()
    stan = TranscriptCompatibility().stan_data(data)
    assert time.process_time() - before < 40
    assert stan["B"] == 1
    assert np.sort(np.concatenate([stan["left"], stan["right"], stan["root"]])).tolist() == list(range(1, 2 * n))
    assert np.isfinite(stan["center"]).all()
    assert (stan["scale"] > 0).all()


def test_a_whole_transcriptome_is_read_in_seconds(tmp_path: Path) -> None:
    """180,000 transcripts, 400,000 classes of 1 to 8 neighbours (seed 1): read and told apart in 60 s of CPU time."""
    rng = np.random.default_rng(1)
    T, C = 180_000, 400_000
    start, size, count = rng.integers(0, T - 8, C), rng.integers(1, 9, C), rng.poisson(60, C)
    lines = [f"{k} {' '.join(map(str, range(s, s + k)))} {n}" for s, k, n in zip(start, size, count, strict=True)]
    names = [f"ENST{t:011d}" for t in range(T)]
    place = tmp_path / "s"
    (place / "aux_info").mkdir(parents=True)
    (place / "aux_info" / "eq_classes.txt").write_text("\n".join([str(T), str(C), *names, *lines]) + "\n")
    header = "Name\tLength\tEffectiveLength\tTPM\tNumReads\n"
    (place / "quant.sf").write_text(header + "".join(f"{name}\t900\t700.5\t1.0\t1.0\n" for name in names))
    before = time.process_time()
    table = identifiable_transcripts(place)
    assert time.process_time() - before < 60
    assert len(table) == T
    assert 0.5 < table["identifiable"].mean() < 1


def test_what_a_set_has_together_is_summed_draw_by_draw(tmp_path: Path) -> None:
    """Sums over a set of two and their sd and quantiles, by the draws themselves (seed 1)."""
    text = "4\t3\ta\tb\tc\td\t2 0 1 10\t1 2 4\t3 0 1 2 7"
    classes = read_equivalence_classes(folder(tmp_path, "s", text))
    draws = np.random.default_rng(1).gamma(2.0, size=(2, 100, 4))
    variables = {name: (("chain", "draw", "transcript"), draws * k) for name, k in (("expected_count", 1), ("tpm", 5))}
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(variables)})
    fitted = Fit(TranscriptCompatibility(), model_data(classes), tree, judge_exact(), {}, {})
    found = TranscriptCompatibility().identifiability(model_data(classes))
    table = set_table("s", classes, fitted, found, 0.9)
    together = draws[..., :2].sum(axis=-1).ravel()
    assert table["transcripts"].tolist() == ["a;b"]
    assert table["count"][0] == pytest.approx(together.mean())
    assert table["count_sd"][0] == pytest.approx(together.std(ddof=1))
    assert table["tpm_upper"][0] == pytest.approx(5 * np.quantile(together, 0.95))
