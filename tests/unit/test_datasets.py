"""The bundled study: what it is, that it is what its simulator makes, and where it may be put."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesexpr as bx
from bayesexpr.datasets import BUNDLED, DATASETS, bring, simulate_bundled, write_bundled
from bayesexpr.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return bring(BUNDLED, tmp_path)


def test_it_is_what_its_simulator_makes(folder: Path, tmp_path: Path) -> None:
    """Drawn again, from the same seed: the simulator and the files have not drifted apart."""
    write_bundled(tmp_path / "again")
    for name in ("counts.csv.gz", "truth.csv.gz"):
        ours, again = (pd.read_csv(f / name, index_col="gene") for f in (folder, tmp_path / "again"))
        pd.testing.assert_frame_equal(ours, again)
    assert (folder / "samples.csv").read_text() == (tmp_path / "again" / "samples.csv").read_text()


def test_it_is_a_study_as_described(folder: Path) -> None:
    data = bx.read_counts(folder / "counts.csv.gz", samples=folder / "samples.csv")
    truth = pd.read_csv(folder / "truth.csv.gz")
    assert data.counts.shape == (8, 2000)
    assert truth["gene"].tolist() == list(data.genes)
    assert (truth["true_log2fc"] != 0).mean() == pytest.approx(0.15, abs=0.02)
    depth = data.library_sizes / data.library_sizes.mean()
    assert depth.max() / depth.min() > 2
    chosen = DATASETS[BUNDLED]
    plan = bx.build_design(chosen.design, data.sample_table)
    assert plan.contrast(chosen.contrast).label == "treatment: treated vs untreated"


def test_the_truth_is_treated_over_untreated(folder: Path) -> None:
    """Genes with many counts: the ratio of normalised means follows the true change, in log2 and in its direction."""
    data = bx.read_counts(folder / "counts.csv.gz", samples=folder / "samples.csv")
    truth = pd.read_csv(folder / "truth.csv.gz")["true_log2fc"].to_numpy()
    counts = data.counts / np.median(data.counts[:, data.counts.min(axis=0) > 100], axis=1, keepdims=True)
    treated = (data.sample_table["treatment"] == "treated").to_numpy()
    chosen = (data.counts.min(axis=0) > 200) & (np.abs(truth) > 1)
    means = [counts[group][:, chosen].mean(axis=0) for group in (treated, ~treated)]
    ratio = np.log2(means[0] / means[1])
    assert chosen.sum() >= 10
    assert np.polyfit(truth[chosen], ratio, 1)[0] == pytest.approx(1.0, abs=0.15)


def test_simulating_does_not_touch_the_global_generator() -> None:
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    simulate_bundled()
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_bringing_again_mends_the_files(folder: Path, tmp_path: Path) -> None:
    (folder / "samples.csv").write_text("broken")
    assert bring(BUNDLED, tmp_path) == folder
    assert (folder / "samples.csv").read_text().startswith("sample,donor")
    assert not [f.name for f in folder.iterdir() if f.name.endswith(".part")]


def test_what_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no data set 'airway'"):
        bring("airway", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        bring(BUNDLED, tmp_path / "file")
