"""Each source of counts, in its own format; and the public studies."""

from __future__ import annotations

import gzip
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesexpr.data.design import build_design
from bayesexpr.data.readers import read_counts, read_lengths
from bayesexpr.errors import CountsError, OptionError

SAMPLES = pd.DataFrame({"dex": ["trt", "untrt"]}, index=["s1", "s2"])
COUNTS = [[1, 3], [2, 4]]

# --- featureCounts --------------------------------------------------------------------------------

ANNOTATION = "Geneid\tChr\tStart\tEnd\tStrand\tLength\t"
ROWS = "a\tchr1;chr1\t1;20\t10;30\t+;+\t21\t{}\t{}\nb\tchrX\t5\t9\t-\t5\t{}\t{}\n"


def featurecounts(tmp_path: Path, first: str, second: str, values: tuple[object, ...] = (1, 2, 3, 4)) -> Path:
    path = tmp_path / "fc.txt"
    comment = '# Program:featureCounts v2.0.3; Command:"featureCounts" "-a" "x.gtf"\n'
    path.write_text(comment + ANNOTATION + f"{first}\t{second}\n" + ROWS.format(*values))
    return path


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("s1", "s2"),
        ("/data/run 1/s1.bam", "/data/run 1/s2.bam"),
        ("s1Aligned.sortedByCoord.out.bam", "s2Aligned.sortedByCoord.out.bam"),
        ("x/s1_sorted.bam", "x/s2.dedup.BAM"),
        ("out/s1/accepted_hits.bam", "out/s2/accepted_hits.bam"),
    ],
)
def test_featurecounts(tmp_path: Path, first: str, second: str) -> None:
    data = read_counts(featurecounts(tmp_path, first, second), SAMPLES)
    assert data.genes == ("a", "b")
    np.testing.assert_array_equal(data.counts, COUNTS)
    np.testing.assert_array_equal(data.lengths, [[21, 5], [21, 5]])


def test_featurecounts_follows_the_sample_table(tmp_path: Path) -> None:
    data = read_counts(featurecounts(tmp_path, "s2.bam", "s1.bam"), SAMPLES)
    np.testing.assert_array_equal(data.counts, [[2, 4], [1, 3]])


def test_featurecounts_takes_the_longest_name(tmp_path: Path) -> None:
    samples = pd.DataFrame({"dex": ["trt", "untrt"]}, index=["s1", "s1_rep2"])
    data = read_counts(featurecounts(tmp_path, "s1_rep2.bam", "s1.bam"), samples)
    np.testing.assert_array_equal(data.counts, [[2, 4], [1, 3]])


def test_featurecounts_without_sample_table(tmp_path: Path) -> None:
    assert read_counts(featurecounts(tmp_path, "d/x1.bam", "d/x2.bam")).samples == ("x1", "x2")


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("s1.bam", "s1_again.bam", "'s1' has 's1.bam', 's1_again.bam'"),
        ("s1.bam", "s10.bam", "'s2' of the sample table are not in .*'s10.bam' of .* are not in the sample table"),
    ],
)
def test_featurecounts_names_that_do_not_match(tmp_path: Path, first: str, second: str, message: str) -> None:
    with pytest.raises(CountsError, match=message):
        read_counts(featurecounts(tmp_path, first, second), SAMPLES)


def test_featurecounts_fractional_counts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CountsError, match=r"line 4 .*row 'b', column 's2' is '4.5'"):
        read_counts(featurecounts(tmp_path, "s1", "s2", (1, 2, 3, 4.5)), SAMPLES)


# --- STAR -----------------------------------------------------------------------------------------


def star(rows: list[str]) -> str:
    head = ["N_unmapped\t9\t9\t9", "N_multimapping\t8\t8\t8", "N_noFeature\t7\t7\t7", "N_ambiguous\t6\t6\t6"]
    return "\n".join(head + rows) + "\n"


@pytest.fixture
def star_folder(tmp_path: Path) -> Path:
    (tmp_path / "s1_ReadsPerGene.out.tab").write_text(star(["a\t1\t10\t100", "b\t3\t30\t300"]))
    (tmp_path / "s2ReadsPerGene.out.tab.gz").write_bytes(
        gzip.compress(star(["a\t2\t20\t200", "b\t4\t40\t400"]).encode())
    )
    return tmp_path


@pytest.mark.parametrize(("strand", "factor"), [("unstranded", 1), ("forward", 10), ("reverse", 100)])
def test_star(star_folder: Path, strand: str, factor: int) -> None:
    data = read_counts(star_folder, SAMPLES, strand=strand)
    assert data.genes == ("a", "b")
    np.testing.assert_array_equal(data.counts, np.array(COUNTS) * factor)
    assert read_counts(star_folder).samples == ("s1", "s2")


def test_star_in_a_folder_per_sample(tmp_path: Path) -> None:
    for name, rows in (("s1", ["a\t1\t0\t0", "b\t3\t0\t0"]), ("s2", ["a\t2\t0\t0", "b\t4\t0\t0"])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ReadsPerGene.out.tab").write_text(star(rows))
    np.testing.assert_array_equal(read_counts(tmp_path, SAMPLES).counts, COUNTS)


def test_star_damaged(star_folder: Path) -> None:
    with pytest.raises(OptionError, match="strand must be one of"):
        read_counts(star_folder, SAMPLES, strand="yes")
    (star_folder / "s3ReadsPerGene.out.tab").write_text(star(["a\t1\t0\t0"]))
    with pytest.raises(CountsError, match="must have the same genes"):
        read_counts(star_folder)
    (star_folder / "s3ReadsPerGene.out.tab").write_text("a\t1\t0\t0\nb\t1\t1\t1\n")
    with pytest.raises(CountsError, match="must begin with"):
        read_counts(star_folder)
    (star_folder / "s3ReadsPerGene.out.tab").write_text(star(["a\t1\t0", "b\t1\t1"]))
    with pytest.raises(CountsError, match=r"line 5 .* has 3"):
        read_counts(star_folder)


# --- 10x ------------------------------------------------------------------------------------------


def tenx(folder: Path, body: str, zipped: bool = False, genes: str = "features.tsv") -> Path:
    files = {
        "matrix.mtx": f"%%MatrixMarket matrix coordinate integer general\n%comment\n{body}",
        genes: "ENSG1\ta\tGene Expression\nENSG2\ta\tGene Expression\n",
        "barcodes.tsv": "s2\ns1\n",
    }
    for name, text in files.items():
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(("zipped", "genes"), [(False, "genes.tsv"), (True, "features.tsv")])
def test_tenx(tmp_path: Path, zipped: bool, genes: str) -> None:
    folder = tenx(tmp_path, "2 2 4\n1 1 2\n2 1 4\n1 2 1\n2 2 3\n", zipped, genes)
    data = read_counts(folder, SAMPLES)
    assert data.genes == ("ENSG1", "ENSG2")
    np.testing.assert_array_equal(data.counts, COUNTS)
    assert read_counts(folder).samples == ("s2", "s1")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("3 2 1\n1 1 2\n", "must be features x barcodes"),
        ("2 2 2\n1 1 2\n", "must be a MatrixMarket file"),
        ("2 2 1\n9 1 2\n", "must be a MatrixMarket file"),
        ("2 2 1\n1 1 -2\n", r"has -2 \(1 such"),
        ("2 2 1\n1 1 x\n", "must be a MatrixMarket file"),
        ("2 2 2\n1 1 4000000000\n1 2 3\n", "has 4000000000"),
        ("nonsense", "must be a MatrixMarket file"),
    ],
)
def test_tenx_damaged(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(CountsError, match=message):
        read_counts(tenx(tmp_path, body), SAMPLES)


def test_tenx_incomplete(tmp_path: Path) -> None:
    (tenx(tmp_path, "2 2 1\n1 1 2\n") / "barcodes.tsv").unlink()
    with pytest.raises(CountsError, match=r"must hold matrix\.mtx, features\.tsv"):
        read_counts(tmp_path, SAMPLES)


# --- h5ad and folders of nothing ------------------------------------------------------------------


def test_h5ad(tmp_path: Path) -> None:
    anndata = pytest.importorskip("anndata", reason="the h5ad extra is not installed")
    path = tmp_path / "study.h5ad"
    adata = anndata.AnnData(np.array(COUNTS, dtype="float32"), obs=SAMPLES.copy(), var=pd.DataFrame(index=["a", "b"]))
    adata.write_h5ad(path)
    data = read_counts(path)
    np.testing.assert_array_equal(data.counts, COUNTS)
    assert list(data.sample_table["dex"]) == ["trt", "untrt"]
    with pytest.warns(UserWarning, match="no sample is left"):
        design = build_design("~ dex", data.sample_table)
    assert design.levels == {"dex": ("trt", "untrt")}
    np.testing.assert_array_equal(read_counts(path, SAMPLES[::-1]).counts, COUNTS[::-1])
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(CountsError, match="must be an AnnData file"):
        read_counts(path)
    path.write_text("not HDF5")
    with pytest.raises(CountsError, match="must be an AnnData file"):
        read_counts(path)


@pytest.mark.parametrize("kind", ["link", "storage", "virtual"])
def test_h5ad_that_takes_data_from_another_file(tmp_path: Path, kind: str) -> None:
    h5py = pytest.importorskip("h5py", reason="the h5ad extra is not installed")
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(range(64)))
    path = tmp_path / "study.h5ad"
    with h5py.File(path, "w") as file:
        group = file.create_group("layers")
        group["loop"] = h5py.SoftLink("/")
        if kind == "link":
            group["counts"] = h5py.ExternalLink("other.h5", "/x")
        elif kind == "storage":
            group.create_dataset("counts", (2, 4), dtype="i8", external=[(str(secret), 0, 64)])
        else:
            layout = h5py.VirtualLayout((2,), dtype="i8")
            layout[:] = h5py.VirtualSource("other.h5", "x", (2,))
            group.create_virtual_dataset("counts", layout)
    with pytest.raises(CountsError, match=r"'/layers/counts' of .* is in another file"):
        read_counts(path)


def test_h5ad_without_anndata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anndata", None)
    (tmp_path / "x.h5ad").write_text("")
    with pytest.raises(CountsError, match=r"pip install 'bayesexpr\[h5ad\]'"):
        read_counts(tmp_path / "x.h5ad")


def test_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(CountsError, match=r"holds 'notes\.txt'"):
        read_counts(tmp_path, SAMPLES)


# --- lengths --------------------------------------------------------------------------------------


def test_lengths_by_gene_and_by_sample(tmp_path: Path) -> None:
    path = tmp_path / "lengths.csv"
    path.write_text("gene,length\nb,20\nextra,1\na,10.5\n")
    np.testing.assert_array_equal(read_lengths(path, ("a", "b"), ("s1", "s2")), [[10.5, 20], [10.5, 20]])
    path.write_text("gene\ts2\tnote\ts1\na\t2\tx\t1\nb\t4\ty\t3\n")
    np.testing.assert_array_equal(read_lengths(path, ("a", "b"), ("s1", "s2")), [[1, 3], [2, 4]])
    counts = tmp_path / "counts.csv"
    counts.write_text("gene,s1,s2\na,1,2\nb,3,4\n")
    np.testing.assert_array_equal(read_counts(counts, SAMPLES, lengths=path).lengths, [[1, 3], [2, 4]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gene,length\na,10\n", "'b' have none"),
        ("gene,length\na,10\nb,0\n", r"gene 'b' is 0 \(line 3"),
        ("gene,length\na,10\nb,-5\n", "gene 'b' is -5"),
        ("gene,length\na,10\nb,NA\n", "line 3 .* is 'NA'"),
        ("gene,length\na,10\nb,1e999\n", "line 3 .* is '1e999'"),
        ("gene,length\na,10\na,12\nb,1\n", "gene names must be unique"),
        ("gene,s1,other\na,10,1\nb,20,1\n", "none for 's2'"),
    ],
)
def test_damaged_lengths(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "lengths.csv"
    path.write_text(text)
    with pytest.raises(CountsError, match=message):
        read_lengths(path, ("a", "b"), ("s1", "s2"))


# --- public studies -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "samples", "shape", "total", "formula", "question"),
    [
        ("airway", "samples.csv", (8, 64102), 175516423, "~ cell + dex", "dex,trt,untrt"),
        ("pasilla", "samples.csv", (7, 14599), 92669672, "~ type + condition", "condition,treated,untreated"),
        ("erccdashboard_rat", "samples.csv", (6, 16590), 71197603, "~ condition", "condition,MET,CTL"),
        ("sc_pbmc_small80", "cells.csv.gz", (80, 230), 19633, "~ groups", "groups,g2,g1"),
    ],
)
def test_public_studies(
    shared_data: Path,
    folder: str,
    samples: str,
    shape: tuple[int, int],
    total: int,
    formula: str,
    question: str,
) -> None:
    data = read_counts(shared_data / folder / "counts.csv.gz", shared_data / folder / samples)
    assert data.counts.shape == shape
    assert data.counts.sum() == total
    frame = pd.read_csv(shared_data / folder / "counts.csv.gz", index_col=0)
    np.testing.assert_array_equal(data.counts, frame[list(data.samples)].to_numpy().T)
    assert data.genes == tuple(frame.index)
    design = build_design(formula, data.sample_table)
    assert np.linalg.norm(design.contrast(question).weights) == pytest.approx(1.0)


def test_airway_is_read_in_less_than_a_second(shared_data: Path) -> None:
    start = time.perf_counter()
    read_counts(shared_data / "airway/counts.csv.gz", shared_data / "airway/samples.csv")
    assert time.perf_counter() - start < 1.0


def test_confounding_in_a_public_study(shared_data: Path) -> None:
    data = read_counts(shared_data / "erccdashboard_rat/counts.csv.gz", shared_data / "erccdashboard_rat/samples.csv")
    with pytest.raises(ValueError, match="`ercc_mix` and `condition` are confounded"):
        build_design("~ ercc_mix + condition", data.sample_table)
