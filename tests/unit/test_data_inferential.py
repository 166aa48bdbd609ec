"""Inferential replicates of salmon and kallisto: variances by hand, and the real folders."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesexpr.data.counts import CountData
from bayesexpr.data.inferential import excess_variance, read_replicates
from bayesexpr.data.readers import read_counts
from bayesexpr.errors import CountsError

NAMES = ("t1", "t2", "t3")
DRAWS = np.array([[10.0, 20.0, 5.0], [14.0, 16.0, 5.0], [6.0, 24.0, 5.0], [10.0, 20.0, 9.0]])
SALMON = "Name\tLength\tEffectiveLength\tTPM\tNumReads\n"
KALLISTO = "target_id\tlength\teff_length\test_counts\ttpm\n"


def salmon(folder: Path, draws: np.ndarray, names: tuple[str, ...] = NAMES, aux: str = "aux_info") -> Path:
    inside = folder / aux / "bootstrap"
    inside.mkdir(parents=True)
    (inside / "bootstraps.gz").write_bytes(gzip.compress(draws.astype("<f8").tobytes()))
    (inside / "names.tsv.gz").write_bytes(gzip.compress(("\t".join(names) + "\n").encode()))
    rows = "".join(f"{name}\t1000\t800\t10\t{count}\n" for name, count in zip(NAMES, DRAWS[0], strict=True))
    (folder / "quant.sf").write_text(SALMON + rows)
    return folder / "quant.sf"


def kallisto(folder: Path, numbers: tuple[int, ...] = (0, 1, 2, 10)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)

    def rows(draw: np.ndarray) -> str:
        return "".join(f"{name}\t1000\t800\t{count}\t10\n" for name, count in zip(NAMES, draw, strict=True))

    (folder / "abundance.tsv").write_text(KALLISTO + rows(DRAWS[0]))
    for number, draw in zip(numbers, DRAWS, strict=True):
        (folder / f"bs_abundance_{number}.tsv").write_text(KALLISTO + rows(draw))
    return folder / "abundance.tsv"


def test_what_transcripts_of_one_gene_trade_is_no_doubt_about_the_gene() -> None:
    variance = DRAWS.var(axis=0, ddof=1) - DRAWS.mean(axis=0)
    np.testing.assert_allclose(excess_variance(DRAWS, np.array([0, 1, 2]), 3), variance)
    together = excess_variance(DRAWS, np.array([0, 0, 1]), 3)
    # t1 + t2 is 30 in every draw: no variance at all, so 30 below that of counting; the third gene has no transcript
    np.testing.assert_allclose(together, [-30.0, variance[2], 0.0])


def test_large_counts_do_not_cancel() -> None:
    draws = 2e9 + np.array([[1.0], [3.0], [5.0]])
    np.testing.assert_allclose(excess_variance(draws, np.array([0]), 1), 4.0 - (2e9 + 3))


def test_salmon_and_kallisto_leave_the_same(tmp_path: Path) -> None:
    for path in (salmon(tmp_path / "s", DRAWS), kallisto(tmp_path / "k")):
        np.testing.assert_array_equal(read_replicates(path, NAMES), DRAWS)


def test_names_in_another_order_and_another_folder(tmp_path: Path) -> None:
    path = salmon(tmp_path, DRAWS[:, [2, 0, 1]], ("t3", "t1", "t2"), aux="elsewhere")
    assert read_replicates(path, NAMES) is None  # nobody says where they are
    (tmp_path / "cmd_info.json").write_text(json.dumps({"auxDir": "elsewhere"}))
    np.testing.assert_array_equal(read_replicates(path, NAMES), DRAWS)


def test_kallisto_h5(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="abundance.h5 needs h5py")
    with h5py.File(tmp_path / "abundance.h5", "w") as file:
        file["aux/ids"] = np.array(NAMES, dtype="S8")
        for number, draw in enumerate(DRAWS):
            file[f"bootstrap/bs{number}"] = draw
    np.testing.assert_array_equal(read_replicates(tmp_path / "abundance.tsv", NAMES), DRAWS)
    with h5py.File(tmp_path / "abundance.h5", "r+") as file:
        del file["bootstrap"]
    assert read_replicates(tmp_path / "abundance.tsv", NAMES) is None
    (tmp_path / "abundance.h5").write_bytes(b"not hdf5")
    with pytest.raises(CountsError, match=r"abundance\.h5 must hold kallisto's replicates"):
        read_replicates(tmp_path / "abundance.tsv", NAMES)


def test_none_or_one_replicate_tells_nothing(tmp_path: Path) -> None:
    assert read_replicates(salmon(tmp_path / "one", DRAWS[:1]), NAMES) is None
    (tmp_path / "none").mkdir()
    assert read_replicates(tmp_path / "none" / "quant.sf", NAMES) is None


def test_damage_is_named(tmp_path: Path) -> None:
    path = salmon(tmp_path, DRAWS)
    inside = tmp_path / "aux_info/bootstrap"
    with pytest.raises(CountsError, match="has 3 names, 2 of them in one of the two only"):
        read_replicates(path, ("t1", "t2", "other"))
    whole = (inside / "bootstraps.gz").read_bytes()
    for damaged, message in (
        (whole[:-9], "cannot be read"),
        (gzip.compress(b"12345"), "it has 5 bytes"),
        (gzip.compress((-DRAWS).tobytes()), "negative"),
        (gzip.compress((DRAWS * np.nan).tobytes()), "not finite"),
    ):
        (inside / "bootstraps.gz").write_bytes(damaged)
        with pytest.raises(CountsError, match=message):
            read_replicates(path, NAMES)
    other = kallisto(tmp_path / "k")
    (tmp_path / "k" / "bs_abundance_1.tsv").write_text(KALLISTO + "t1\t1000\t800\t3\t10\n")
    with pytest.raises(CountsError, match=r"bs_abundance_1\.tsv must be a replicate"):
        read_replicates(other, NAMES)


def test_a_study_knows_it_when_every_sample_does(tmp_path: Path) -> None:
    table = pd.DataFrame({"group": ["b", "a"]}, index=["s2", "s1"])
    salmon(tmp_path / "s1", DRAWS)
    salmon(tmp_path / "s2", DRAWS[::-1] + 1)
    (tmp_path / "tx2gene.csv").write_text("transcript,gene\nt1,A\nt2,B\nt3,A\n")
    data = read_counts(tmp_path, table, tx2gene=tmp_path / "tx2gene.csv")
    expected = []
    for draws in (DRAWS[::-1] + 1, DRAWS):
        genes = np.column_stack([draws[:, 0] + draws[:, 2], draws[:, 1]])
        expected.append(genes.var(axis=0, ddof=1) - genes.mean(axis=0))
    assert data.assignment_variance is not None
    np.testing.assert_allclose(data.assignment_variance, expected)
    np.testing.assert_allclose(data.subset_genes(["B"]).assignment_variance, np.array(expected)[:, 1:])
    assert read_counts(tmp_path, table).assignment_variance.shape == (2, 3)  # type: ignore[union-attr]
    (tmp_path / "lengths.csv").write_text("gene,length\nA,900\nB,500\n")
    longer = read_counts(tmp_path, table, tx2gene=tmp_path / "tx2gene.csv", lengths=tmp_path / "lengths.csv")
    np.testing.assert_allclose(longer.assignment_variance, expected)
    (tmp_path / "s1/aux_info/bootstrap/bootstraps.gz").unlink()
    assert read_counts(tmp_path, table).assignment_variance is None


@pytest.mark.parametrize(
    ("values", "message"), [(np.zeros((2, 2)), "must be samples x genes"), (np.full((2, 1), np.nan), "must be finite")]
)
def test_wrong_variances_are_refused(values: np.ndarray, message: str) -> None:
    table = pd.DataFrame(index=["s1", "s2"])
    with pytest.raises(CountsError, match=message):
        CountData(np.ones((2, 1)), ("g",), ("s1", "s2"), table, assignment_variance=values)


def test_real_folders(shared_data: Path) -> None:
    """Gibbs draws of six samples: what a transcript has in doubt, its gene mostly has not."""
    study = shared_data / "salmon_geuvadis_gibbs/subset"
    excess = []
    for data in (read_counts(study, tx2gene=study / "tx2gene.csv"), read_counts(study)):
        assert data.assignment_variance is not None
        many = data.counts.sum(axis=0) >= 200
        excess.append(np.median(data.assignment_variance.sum(axis=0)[many] / data.counts.sum(axis=0)[many]))
    assert abs(excess[0]) < 0.1
    assert excess[1] > 1.5
    folder = shared_data / "salmon_airway_chr1"
    table = folder / "samples.csv"
    assert read_counts(folder / "salmon_plain", table).assignment_variance is not None
    assert read_counts(folder / "salmon_bias", table).assignment_variance is None
    plain = read_counts(folder / "kallisto", folder / "samples.csv", tx2gene=folder / "tx2gene.csv")
    assert plain.assignment_variance is None
