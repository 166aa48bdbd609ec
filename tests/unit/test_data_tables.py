"""Text tables: what is read, and what each damaged or hostile file is told."""

from __future__ import annotations

import gzip
import json
import os
import random
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesexpr.data import localfile
from bayesexpr.data.design import build_design
from bayesexpr.data.readers import read_counts
from bayesexpr.data.sample_table import read_samples, samples_from_record, samples_record
from bayesexpr.data.tables import read_table
from bayesexpr.errors import CountsError

GOOD = "gene,s1,s2\na,1,2\nb,3,4\n"


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    path = tmp_path / "samples.csv"
    path.write_text("sample,dex\ns1,trt\ns2,untrt\n")
    return path


def write(tmp_path: Path, content: str | bytes, name: str = "counts.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        GOOD.replace(",", "\t"),
        GOOD.replace(",", ";"),
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\r"),
        GOOD.rstrip("\n"),
        GOOD + "\n\n",
        "\ufeff" + GOOD,
        "# made by a counter\n" + GOOD,
        '"gene","s1","s2"\n"a",1,2\n"b",3,4\n',
        '"","s1","s2"\n"a",1,2\n"b",3,4\n',
        "s1\ts2\na\t1\t2\nb\t3\t4\n",
        "gene,s1,s2\na,1.0,2e0\nb,3.00,4.\n",
        "gene,s1,s2\na, 1 ,2\nb,+3,4\n",
        "gene,s2,s1\na,2,1\nb,4,3\n",
        "sample,a,b\ns1,1,3\ns2,2,4\n",
        "sample,a,b\ns2,2,4\ns1,1,3\n",
    ],
)
def test_forms_of_the_same_table(tmp_path: Path, samples: Path, content: str) -> None:
    data = read_counts(write(tmp_path, content), samples)
    assert data.genes == ("a", "b")
    assert data.samples == ("s1", "s2")
    np.testing.assert_array_equal(data.counts, [[1, 3], [2, 4]])
    assert list(data.sample_table["dex"]) == ["trt", "untrt"]


@pytest.mark.parametrize("name", ["counts.csv.gz", "counts.bin", "with space é中.csv.gz"])
def test_gzip_by_content(tmp_path: Path, samples: Path, name: str) -> None:
    parts = gzip.compress(GOOD[:12].encode()) + gzip.compress(GOOD[12:].encode())
    np.testing.assert_array_equal(read_counts(write(tmp_path, parts, name), samples).counts, [[1, 3], [2, 4]])


def test_separator_is_a_tab_if_names_hold_commas(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "gene\ta,1\tb;2\nx\t1\t2\n"))
    assert table.header == ("gene", "a,1", "b;2")
    assert read_table(write(tmp_path, 'gene;"a,1,2,3";c\nx;1;2\n')).header == ("gene", "a,1,2,3", "c")


BAD_NUMBERS = {
    "fraction": "1.5",
    "negative": "-1",
    "nan": "nan",
    "missing": "NA",
    "empty": "",
    "infinite": "inf",
    "huge exponent": "1e400",
    "beyond Stan's integers": "2147483648",
    "beyond 64 bits": "9" * 30,
    "hexadecimal": "0x10",
    "hexadecimal float": "0x1p3",
    "thousands separator": '"1,000"',
    "underscore": "1_000",
    "full-width digits": "１２",
    "Arabic digits": "١٢",
    "boolean": "True",
    "text": "twelve",
    "formula": "=1+1",
    "two numbers": "1 2",
    "fortran exponent": "1d3",
    "no-break space": "1\u00a0000",
    "minus sign": "\u22121",
    "lone sign": "-",
    "percent": "5%",
}


@pytest.mark.parametrize("field", BAD_NUMBERS.values(), ids=BAD_NUMBERS.keys())
def test_fields_that_are_not_counts(tmp_path: Path, samples: Path, field: str) -> None:
    path = write(tmp_path, f"# comment\ngene,s1,s2\na,1,2\n\nb,3,{field}\nc,5,{field}\n")
    with pytest.raises(CountsError) as caught:
        read_counts(path, samples)
    message = str(caught.value)
    assert "line 5" in message
    assert "row 'b', column 's2'" in message
    assert "2 such entries" in message
    assert "Pass raw counts, not normalised values." in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must not be empty"),
        (b"  \n\n", "must not be empty"),
        (b"# only a comment\n", "holds only comments"),
        (b"gene,s1,s2\n", "has only a header"),
        (b"gene s1 s2\na 1 2\n", "separated by tab, comma or semicolon"),
        (b"gene,s1,s2\na,1,2\nb,3\n", r"as many fields as the header, 3; line 3 .* has 2"),
        (b"gene,s1,s2\na,1,2\nb,3,4,5\n", r"line 3 .* has 4"),
        (b"gene,s1,s2\na,1,2\nb,3,4,\n", r"line 3 .* has 4"),
        (b"gene,s1,s2\na,1;2\n", r"line 2 .* has 2"),
        (b"gene,s1,s2\na,1,2\nb,3,4\na,5,6\n", "gene names must be unique; 'a' occurs 2 times"),
        (b"gene,s1,s2\na,1,2\na ,3,4\n", "'a' and 'a ' in .* differ only in blanks"),
        ("gene,s1,s2\ncaf\u00e9,1,2\ncafe\u0301,3,4\n".encode(), "differ only in blanks, Unicode form"),
        ("gene,s1,s2\na,1,2\na\u200b,3,4\n".encode(), "invisible characters"),
        (b"gene,s1,s2,s1\na,1,2,3\n", "sample names must be unique; 's1' occurs 2 times"),
        (b"gene,s1,s2\na,1,2\n,3,4\n", "gene 2 in .* has none"),
        (b"gene,s1,s2\na\x1b[2J,1,2\n", "control character"),
        (b"gene,s1,s2\na\0,1,2\n", "NUL bytes; .* has one on line 2"),
        ("gene,s1,s2\na,1,2\n".encode("utf-16"), "is UTF-16"),
        ("gene,s1,s2\na,1,2\n".encode("utf-16-le"), "NUL bytes"),
        ("gene,s1,s2\na,1,2\né,1,2\n".encode("latin-1"), r"must be UTF-8; line 3"),
        (b"PK\x03\x04rest", "zip or Excel file"),
        (b'gene,s1,s2\n"a,1,2\nb,3,4\n', "not a row of a table|must not span lines"),
        (b'gene,s1,s2\n"a\nb",1,2\n', "must not span lines; one does from line 2"),
        (b'gene,s1,s2\n"a"x,1,2\n', "line 2 .* is not a row of a table"),
        (b"gene,s1,s2\n" + b"x" * 1_000_000 + b",1,2\n", "line 2 .* is not a row|at most 1000 characters"),
        (b"gene,s1,s2\n" + b"x" * 5_000 + b",1,2\n", "at most 1000 characters; gene 1"),
        (b"gene,s1,s2\na,0,2\nb,0,4\n", "every sample must have at least one count; 's1' has none"),
        (b"gene,s1,s3\na,1,2\n", "'s2' of the sample table are not in .*'s3' of .* are not in the sample table"),
        (b"gene,s1,s2,Length\na,1,2,3\n", "'Length' of .* are not in the sample table"),
        (b"gene,x,y\na,1,2\n", "sample names must be the columns or the rows"),
        (b"gene,s1,s2\ns1,1,2\ns2,1,2\n", "2 of 2 are columns and 2 are rows"),
    ],
)
def test_damaged_tables(tmp_path: Path, samples: Path, content: bytes, message: str) -> None:
    with pytest.raises(CountsError, match=message):
        read_counts(write(tmp_path, content), samples)


def test_names_only_in_case_or_alphabet_differ(tmp_path: Path, samples: Path) -> None:
    content = "gene,s1,s2\nabc,1,2\nABC,3,4\n\u0430bc,5,6\nMARCH1,1,1\n=cmd|'/c calc'!A1,1,1\n"
    assert read_counts(write(tmp_path, content), samples).genes == (
        "abc", "ABC", "\u0430bc", "MARCH1", "=cmd|'/c calc'!A1"
    )  # fmt: skip


def test_truncated_or_false_gzip(tmp_path: Path, samples: Path) -> None:
    whole = gzip.compress(os.urandom(2000).hex().encode())
    for content in (whole[:-20], whole[: len(whole) // 2], whole[:-8] + b"\0" * 8, whole + b"tail"):
        with pytest.raises(CountsError, match="gzip input must be whole"):
            read_counts(write(tmp_path, content, "counts.csv.gz"), samples)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    with pytest.raises(CountsError, match="gzip input must be whole"):
        read_counts(write(tmp_path, bytes(flipped), "counts.csv.gz"), samples)
    with pytest.raises(CountsError, match="file must be gzip"):
        read_counts(write(tmp_path, GOOD, "counts.csv.gz"), samples)
    with pytest.raises(CountsError, match="must not be empty"):
        read_counts(write(tmp_path, b"", "counts.csv.gz"), samples)


def test_compression_bomb_is_refused(tmp_path: Path, samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(localfile, "BOMB_SIZE", 1 << 20)
    monkeypatch.setattr(localfile, "CHUNK", 1 << 16)
    path = write(tmp_path, gzip.compress(b"0" * (50 << 20)), "counts.csv.gz")
    tracemalloc.start()
    with pytest.raises(CountsError, match="100-fold above"):
        read_counts(path, samples)
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()
    honest = write(tmp_path, gzip.compress(os.urandom(1 << 20).hex().encode()), "honest.gz")
    assert len(localfile.read_bytes(honest)) == 2 << 20


def test_too_large_is_refused_before_reading(tmp_path: Path, samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(localfile, "LARGEST", 10)
    with pytest.raises(CountsError, match="a table must have at most"):
        read_counts(write(tmp_path, GOOD), samples)


@pytest.mark.parametrize(
    "path",
    [
        "http://169.254.169.254/latest",
        "https://example.org/counts.csv",
        "file:///etc/passwd",
        "s3://bucket/key.csv",
        "gcs://bucket/key",
        "ftp://host/counts.csv.gz",
        Path("https://example.org/counts.csv"),
    ],
)
def test_addresses_are_refused(path: str | Path, samples: Path) -> None:
    with pytest.raises(CountsError, match="must be a local file"):
        read_counts(path, samples)
    with pytest.raises(CountsError, match="must be a local file"):
        read_samples(path)


def test_paths_that_are_no_files(tmp_path: Path, samples: Path) -> None:
    with pytest.raises(CountsError, match="there is no"):
        read_counts(tmp_path / "absent.csv", samples)
    with pytest.raises(CountsError, match="NUL character"):
        read_counts("a\0b", samples)
    with pytest.raises(CountsError, match="must be a regular file"):
        read_counts("/dev/zero", samples)
    with pytest.raises(CountsError, match="must be a regular file"):
        read_samples(tmp_path)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(CountsError, match="there is no"):
        read_counts(loop, samples)


def test_unreadable_file(tmp_path: Path, samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, GOOD)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CountsError, match=r"must be readable; .* is not \(Permission denied\)"):
        localfile.read_bytes(path)


def test_sample_table_is_needed(tmp_path: Path) -> None:
    with pytest.raises(CountsError, match="the sample table must be given"):
        read_counts(write(tmp_path, GOOD))


def test_wide_tables(tmp_path: Path, samples: Path) -> None:
    genes = [f"g{i}" for i in range(100_000)]
    lines = ["sample," + ",".join(genes), "s1," + ",".join(["1"] * 100_000), "s2," + ",".join(["2"] * 100_000)]
    data = read_counts(write(tmp_path, "\n".join(lines)), samples)
    assert data.counts.shape == (2, 100_000)
    assert data.counts[1].sum() == 200_000


def test_random_damage_is_told_or_harmless(tmp_path: Path, samples: Path) -> None:
    """Five hundred tables with one to three bytes changed, dropped or doubled; seed 12. No other error escapes."""
    rng = random.Random(12)
    table = read_samples(samples)
    refused = 0
    for _ in range(500):
        content = bytearray(b"gene,s1,s2\na,1,22\nb,3,4\nc,0,7\n")
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(content))
            choice = rng.randrange(3)
            if choice == 0:
                content[place] = rng.choice([0, 9, 10, 13, 34, 35, 43, 44, 45, 46, 48, 57, 59, 92, 101, 195, 255])
            elif choice == 1:
                del content[place]
            else:
                content.insert(place, content[place])
        try:
            data = read_counts(write(tmp_path, bytes(content)), table)
        except CountsError:
            refused += 1
        else:
            assert data.samples == ("s1", "s2")
    assert 100 < refused < 480


# --- sample tables --------------------------------------------------------------------------------


def test_types_of_sample_columns(tmp_path: Path) -> None:
    text = "id;dex;age;lane;note;half\ns1;trt;30;1;;0.5\ns2;untrt;NA;2;x;1e-1\ns3;trt;41.5;10;y;2\n"
    table = read_samples(write(tmp_path, text))
    assert list(table.index) == ["s1", "s2", "s3"]
    assert table.index.name == "id"
    assert [str(kind) for kind in table.dtypes] == ["category", "float64", "int64", "category", "float64"]
    assert list(table["dex"].cat.categories) == ["trt", "untrt"]
    assert np.isnan(table.loc["s2", "age"])
    assert table["note"].isna().tolist() == [True, False, False]


def test_words_that_pandas_takes_for_missing_are_levels(tmp_path: Path) -> None:
    table = read_samples(write(tmp_path, "id,genotype\ns1,null\ns2,None\ns3,wt\n"))
    assert list(table["genotype"].cat.categories) == ["None", "null", "wt"]


def test_numbers_with_other_values_are_levels(tmp_path: Path) -> None:
    table = read_samples(write(tmp_path, "id,dose,hex\ns1,10,0x1\ns2,high,2\n"))
    assert [str(kind) for kind in table.dtypes] == ["category", "category"]


def test_a_record_keeps_types_missing_values_and_the_order_of_levels() -> None:
    table = pd.DataFrame(
        {
            "dex": pd.Categorical(["trt", "untrt", None], categories=["untrt", "unused", "trt"]),
            "lane": pd.Categorical([2, 1, 2], categories=[2, 1], ordered=True),
            "age": [1.5, float("nan"), 3.0],
            "count": [1, 2, 3],
            "wild": [True, False, True],
            "note": ["x", None, ""],
        },
        index=pd.Index(["s1", "s2", "s3"], name="id"),
    )
    again = samples_from_record(json.loads(json.dumps(samples_record(table), allow_nan=False)))
    pd.testing.assert_frame_equal(again.drop(columns="note"), table.drop(columns="note"))
    assert again["note"].tolist() == ["x", None, ""]
    before, after = (build_design("~ lane", one).matrix for one in (table, again))
    np.testing.assert_array_equal(before, after)
    # As text the levels come back sorted, and the sign turns.
    np.testing.assert_array_equal(build_design("~ lane", table.astype({"lane": str})).matrix, -before)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,dex\ns1,a\ns1,b\n", "sample names must be unique"),
        ("id,dex,dex\ns1,a,b\n", "column names must be unique"),
        ("id,dex,\ns1,a,b\n", "column 2 in .* has none"),
        ("id,dex\n,a\n", "sample 1 in .* has none"),
        ("id,dex\ns1\n", "line 2 .* has 1"),
        ("id,dex\n", "only a header"),
        ("", "must not be empty"),
    ],
)
def test_damaged_sample_tables(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(CountsError, match=message):
        read_samples(write(tmp_path, content))
