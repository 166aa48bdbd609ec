"""salmon and kallisto: sums, effective lengths and rounding by hand, and the real folders."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesexpr.data.quantification import Quantified, round_keeping_totals, summarise
from bayesexpr.data.readers import read_counts
from bayesexpr.errors import CountsError

SAMPLES = pd.DataFrame({"dex": ["trt", "untrt"]}, index=["s1", "s2"])
SALMON = "Name\tLength\tEffectiveLength\tTPM\tNumReads\n"
KALLISTO = "target_id\tlength\teff_length\test_counts\ttpm\n"


def salmon(folder: Path, name: str, rows: str, zipped: bool = False) -> None:
    (folder / name).mkdir(exist_ok=True)
    if zipped:
        (folder / name / "quant.sf.gz").write_bytes(gzip.compress((SALMON + rows).encode()))
    else:
        (folder / name / "quant.sf").write_text(SALMON + rows)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    salmon(tmp_path, "s1", "t1\t500\t300\t10\t2.6\nt2\t900\t700\t30\t4.6\nt3\t200\t50\t0\t0\nt4\t80\t40\t0\t0\n")
    salmon(
        tmp_path, "s2", "t1\t500\t310\t0\t0\nt2\t900\t710\t5\t3.5\nt3\t200\t60\t9\t8.5\nt4\t80\t44\t0\t0\n", zipped=True
    )
    (tmp_path / "tx2gene.csv").write_text("transcript,gene,symbol\nt1,A,x\nt2,A,x\nt3,B,y\nt4,C,z\nunused,D,w\n")
    return tmp_path


def test_gene_counts_and_lengths_by_hand(study: Path) -> None:
    data = read_counts(study, SAMPLES, tx2gene=study / "tx2gene.csv")
    assert data.genes == ("A", "B", "C")
    # s1: A 2.6 + 4.6. s2: remainders A 0.5, B 0.5 of a total of 12: the first is rounded up.
    np.testing.assert_array_equal(data.counts, [[7, 0, 0], [4, 8, 0]])
    lengths = [
        # A weighted by TPM; B is absent in s1, and takes its length in s2; C is absent, and takes the mean of all.
        [(10 * 300 + 30 * 700) / 40, 60, 42],
        [710, 60, 42],
    ]
    np.testing.assert_allclose(data.lengths, lengths, rtol=1e-12)


def test_absent_gene_takes_the_geometric_mean_of_the_other_samples() -> None:
    lengths = np.array([[100.0], [400.0], [1.0]])
    quantified = Quantified(("t",), ("a", "b", "c"), lengths, np.array([[1.0], [1.0], [0.0]]), lengths)
    np.testing.assert_allclose(summarise(quantified, ["g"])[2][:, 0], [100, 400, 200])


def test_transcripts_without_a_gene_table(study: Path) -> None:
    data = read_counts(study, SAMPLES)
    assert data.genes == ("t1", "t2", "t3", "t4")
    # s1: 2.6 + 4.6 = 7.2, one of the two equal remainders is rounded up.
    assert data.counts.sum(axis=1).tolist() == [7, 12]
    np.testing.assert_array_equal(data.lengths[1], [310, 710, 60, 44])  # type: ignore[index]


def test_kallisto(tmp_path: Path) -> None:
    for name, count in (("s1", 3), ("s2", 5.4)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "abundance.tsv").write_text(KALLISTO + f"t1\t500\t300\t{count}\t1e6\nt2\t80\t9.5\t0\t0\n")
    data = read_counts(tmp_path)
    assert data.samples == ("s1", "s2")
    np.testing.assert_array_equal(data.counts, [[3, 0], [5, 0]])
    np.testing.assert_array_equal(data.lengths, [[300, 9.5], [300, 9.5]])


def test_rounding_keeps_totals() -> None:
    counts = np.array([[0.5, 0.5, 0.5, 0.5], [1.2, 2.7, 3.6, 0.5], [0.3, 0.3, 0.3, 0.0], [4, 0, 2, 1]])
    rounded = round_keeping_totals(counts)
    np.testing.assert_array_equal(rounded, [[1, 1, 0, 0], [1, 3, 4, 0], [1, 0, 0, 0], [4, 0, 2, 1]])
    rng = np.random.default_rng(7)
    many = rng.gamma(0.3, 50.0, size=(5, 2000))
    result = round_keeping_totals(many)
    np.testing.assert_array_equal(result.sum(axis=1), np.rint(many.sum(axis=1)))
    assert np.abs(result - many).max() < 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tx2gene.csv": "transcript,gene\nt1,A\nt2,A\nt3,B\n"}, "'t4' have none.*version"),
        ({"tx2gene.csv": "transcript,gene\nt1,A\nt1,B\n"}, r"'t1' has 'A' and 'B' \(line 3"),
        ({"s1/quant.sf": SALMON + "t1\t500\t300\t10\t2.6\n"}, "same transcripts"),
        ({"s1/quant.sf": "a\tb\nx\t1\n"}, "must have the columns of salmon or kallisto; it has 'a', 'b'"),
        ({"s1/quant.sf": SALMON + "t1\t500\t300\t10\t-2.6\n"}, "must not be negative; line 2"),
        ({"s1/quant.sf": SALMON + "t1\t500\t300\tnan\t2.6\n"}, "line 2 .* column 'TPM' is 'nan'"),
        ({"s1/quant.sf": SALMON}, "only a header"),
        ({"s3/quant.sf": SALMON + "t1\t1\t1\t1\t1\nt2\t1\t1\t1\t1\nt3\t1\t1\t1\t1\nt4\t1\t1\t1\t1\n"}, "'s3' of"),
    ],
)
def test_damaged_folders(study: Path, change: dict[str, str], message: str) -> None:
    for name, text in change.items():
        (study / name).parent.mkdir(exist_ok=True)
        (study / name).write_text(text)
    with pytest.raises(CountsError, match=message):
        read_counts(study, SAMPLES, tx2gene=study / "tx2gene.csv")


@pytest.mark.parametrize("kind", ["salmon_plain", "salmon_bias", "kallisto"])
def test_real_folders(shared_data: Path, kind: str) -> None:
    folder = shared_data / "salmon_airway_chr1"
    data = read_counts(folder / kind, folder / "samples.csv", tx2gene=folder / "tx2gene.csv")
    name = "abundance.tsv" if kind == "kallisto" else "quant.sf"
    columns = ["est_counts", "tpm", "eff_length"] if kind == "kallisto" else ["NumReads", "TPM", "EffectiveLength"]
    gene_of = pd.read_csv(folder / "tx2gene.csv", index_col=0)["gene_id"]
    for position, sample in enumerate(data.samples):
        table = pd.read_csv(folder / kind / sample / name, sep="\t", index_col=0)[columns]
        table.columns = pd.Index(["count", "tpm", "length"])
        table["weighted"] = table["tpm"] * table["length"].clip(lower=1.0)
        sums = table.groupby(gene_of.reindex(table.index)).sum().loc[list(data.genes)]
        assert data.counts[position].sum() == round(sums["count"].sum())
        assert np.abs(data.counts[position] - sums["count"]).max() < 1.0
        seen = (sums["tpm"] > 0).to_numpy()
        expected = (sums["weighted"] / sums["tpm"])[seen]
        np.testing.assert_allclose(data.lengths[position][seen], expected, rtol=1e-10)  # type: ignore[index]


def test_compressed_real_folder(shared_data: Path) -> None:
    folder = shared_data / "salmon_geuvadis_gibbs/subset"
    data = read_counts(folder, tx2gene=folder / "tx2gene.csv")
    assert len(data.samples) == 6
    assert data.lengths is not None
