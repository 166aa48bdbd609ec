"""Equivalence classes of salmon and kallisto: what is read, and what is refused with its line."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from bayesexpr.data.equivalence import read_equivalence_classes, read_tool_draws
from bayesexpr.errors import CountsError

SALMON = ["3", "2", "t0", "t1", "t2", "2\t0\t2\t10", "1\t1\t4"]
WEIGHTED = ["3", "2", "t0", "t1", "t2", "2\t0\t2\t0.25\t0.75\t10", "1\t1\t1\t4"]
QUANT = "Name\tLength\tEffectiveLength\tTPM\tNumReads\nt2\t300\t200\t1\t2\nt0\t500\t400\t3\t8\nt1\t90\t10\t5\t4\n"


def salmon_folder(root: Path, lines: list[str], quant: str | None = QUANT, compress: bool = True) -> Path:
    folder = root / "sample"
    (folder / "aux_info").mkdir(parents=True)
    text = ("\n".join(lines) + "\n").encode()
    name = "eq_classes.txt.gz" if compress else "eq_classes.txt"
    (folder / "aux_info" / name).write_bytes(gzip.compress(text) if compress else text)
    if quant is not None:
        (folder / "quant.sf").write_text(quant)
    return folder


def kallisto_folder(
    root: Path, ec: str = "0\t0\n1\t1\n2\t0,1\n", tsv: str = "0\t5\n1\t0\n2\t7\n", names: str = "a\nb\n"
) -> Path:
    folder = root / "k_pseudo" / "s"
    folder.mkdir(parents=True)
    (folder / "pseudoalignments.ec").write_text(ec)
    (folder / "pseudoalignments.tsv").write_text(tsv)
    (folder / "transcripts.txt").write_text(names)
    return folder


@pytest.mark.parametrize("compress", [True, False])
def test_salmon_is_read_with_the_lengths_of_its_names(tmp_path: Path, compress: bool) -> None:
    found = read_equivalence_classes(salmon_folder(tmp_path, SALMON, compress=compress))
    assert found.transcripts == ("t0", "t1", "t2")
    np.testing.assert_array_equal(found.count, [10, 4])
    np.testing.assert_array_equal(found.compatibility.toarray(), [[1, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(found.effective_length, [400, 10, 200])
    np.testing.assert_array_equal(found.estimate, [8, 4, 2])
    assert not found.weighted
    assert found.total == 14


def test_the_file_itself_may_be_named(tmp_path: Path) -> None:
    folder = salmon_folder(tmp_path, SALMON)
    found = read_equivalence_classes(folder / "aux_info" / "eq_classes.txt.gz")
    np.testing.assert_array_equal(found.effective_length, [400, 10, 200])


def test_weights_are_read(tmp_path: Path) -> None:
    found = read_equivalence_classes(salmon_folder(tmp_path, WEIGHTED))
    assert found.weighted
    np.testing.assert_array_equal(found.compatibility.toarray(), [[0.25, 0, 0.75], [0, 1, 0]])


def test_classes_without_lengths_are_still_classes(tmp_path: Path) -> None:
    assert read_equivalence_classes(salmon_folder(tmp_path, SALMON, quant=None)).effective_length is None


def replaced(line: int, text: str) -> list[str]:
    return [*SALMON[: line - 1], text, *SALMON[line:]]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (replaced(6, "0\t10"), "at least one transcript; line 6"),
        (replaced(6, "2\t0\t3\t10"), r"between 0 and 2; line 6 .* has 3"),
        (replaced(6, "2\t0\t-1\t10"), r"between 0 and 2; line 6 .* has -1"),
        (replaced(7, "1\t1\t-4"), r"counts of classes .*; line 7 .* has -4"),
        (replaced(7, "1\t1\t99999999999"), r"counts of classes .*; line 7"),
        (replaced(7, "1\t1\t4.5"), r"whole numbers and k of at least 1; line 7"),
        (replaced(6, "2\t0\t0\t10"), r"name a transcript once; line 6 .* has 0"),
        (replaced(6, "2\t0\t2"), r"whole numbers .*; line 6"),
        (replaced(6, "2\t0\t2\t0.5\t10"), r"whole numbers .*; line 6"),
        (replaced(6, "2\t0\t2\t0.5\t-0.5\t10"), r"weights must be positive numbers; line 6 .* has -0.5"),
        (replaced(6, "2\t0\t2\tnan\t0.5\t10"), r"weights must be positive numbers; line 6 .* has nan"),
        (replaced(1, "many"), "line 1 of eq_classes must be a whole number"),
        (replaced(4, "t0"), "transcript names must be unique"),
        (SALMON[:-1], r"= 7 lines; .* has 6"),
        ([*SALMON, "1\t1\t1"], r"= 7 lines; .* has 8"),
        (["3"], "line 2 of eq_classes"),
    ],
)
def test_a_damaged_salmon_file_is_refused_with_its_line(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(CountsError, match=message):
        read_equivalence_classes(salmon_folder(tmp_path, lines))


def test_a_gzip_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    folder = salmon_folder(tmp_path, SALMON)
    path = folder / "aux_info" / "eq_classes.txt.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CountsError, match="gzip input must be whole"):
        read_equivalence_classes(folder)


@pytest.mark.parametrize(
    ("quant", "message"),
    [
        (QUANT.replace("t1\t90", "t9\t90"), "every transcript must have an effective length .*'t1'"),
        (QUANT.replace("\t10\t5", "\t0\t5"), r"effective lengths must be positive .*line 4"),
        ("a\tb\n1\t2\n", "columns of salmon or kallisto"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(tmp_path: Path, quant: str, message: str) -> None:
    with pytest.raises(CountsError, match=message):
        read_equivalence_classes(salmon_folder(tmp_path, SALMON, quant=quant))


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CountsError, match="dumpEq"):
        read_equivalence_classes(tmp_path)


def test_kallisto_is_read_with_the_lengths_of_the_folder_beside_it(tmp_path: Path) -> None:
    folder = kallisto_folder(tmp_path)
    quantified = tmp_path / "k" / "s"
    quantified.mkdir(parents=True)
    table = "target_id\tlength\teff_length\test_counts\ttpm\na\t200\t100\t8.5\t1\nb\t300\t150\t3.5\t1\n"
    (quantified / "abundance.tsv").write_text(table)
    for path in (folder, folder / "pseudoalignments.ec", folder / "pseudoalignments.tsv"):
        found = read_equivalence_classes(path)
        np.testing.assert_array_equal(found.compatibility.toarray(), [[1, 0], [0, 1], [1, 1]])
        np.testing.assert_array_equal(found.count, [5, 0, 7])
        np.testing.assert_array_equal(found.effective_length, [100, 150])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ec": "0\t0\n1\t\n2\t0,1\n"}, r"line 2 of pseudoalignments.ec"),
        ({"ec": "0\t0\n1\t1\n2\t0,7\n"}, r"between 0 and 1; line 3 .* has 7"),
        ({"ec": "0\t0\n2\t1\n1\t0,1\n"}, r"line 2 of pseudoalignments.ec"),
        ({"tsv": "0\t5\n1\t-2\n2\t7\n"}, r"line 2 of pseudoalignments.tsv"),
        ({"tsv": "0\t5\n1\t0\n"}, r"one count for each of the 3 classes .* has 2 lines"),
        ({"tsv": "0\t5\n1\t1.5\n2\t7\n"}, r"line 2 of pseudoalignments.tsv"),
        ({"names": "a\na\n"}, "unique"),
    ],
)
def test_a_damaged_kallisto_folder_is_refused_with_its_line(
    tmp_path: Path, change: dict[str, str], message: str
) -> None:
    with pytest.raises(CountsError, match=message):
        read_equivalence_classes(kallisto_folder(tmp_path, **change))


def test_a_kallisto_file_that_is_missing_is_named(tmp_path: Path) -> None:
    folder = kallisto_folder(tmp_path)
    (folder / "transcripts.txt").unlink()
    with pytest.raises(CountsError, match=r"must hold transcripts.txt"):
        read_equivalence_classes(folder)


@pytest.mark.parametrize(
    ("place", "shape", "total", "weighted"),
    [
        ("salmon_airway_chr1/salmon_plain/SRR1039508", (1103, 1370), 41986, False),
        ("salmon_airway_chr1/salmon_bias/SRR1039508", (1304, 1370), 41986, True),
        ("salmon_airway_chr1/kallisto_pseudo/SRR1039508", (4723, 1373), 42241, False),
        ("salmon_kallisto_examples/salmon", (20, 14), 9335, False),
        ("salmon_kallisto_examples/kallisto_pseudo", (20, 14), 9413, False),
    ],
)
def test_real_output_is_read_whole(
    shared_data: Path, place: str, shape: tuple[int, int], total: int, weighted: bool
) -> None:
    found = read_equivalence_classes(shared_data / place)
    assert found.compatibility.shape == shape
    assert found.total == total
    assert found.weighted is weighted
    assert found.estimate is not None
    assert abs(found.estimate.sum() - total) < 0.1  # the tools print estimates with few digits


def test_draws_of_the_tool_are_read(shared_data: Path, tmp_path: Path) -> None:
    names, draws = read_tool_draws(shared_data / "salmon_airway_chr1/salmon_plain/SRR1039508")
    assert draws.shape == (100, len(names)) == (100, 1370)
    np.testing.assert_allclose(draws.sum(axis=1), 41986, rtol=1e-9)
    place = tmp_path / "aux_info" / "bootstrap"
    place.mkdir(parents=True)
    (place / "names.tsv.gz").write_bytes(gzip.compress(b"t0\tt1\n"))
    (place / "bootstraps.gz").write_bytes(gzip.compress(b"\0" * 24))
    with pytest.raises(CountsError, match="24 bytes"):
        read_tool_draws(tmp_path)
