"""What `CountData` accepts, refuses, and says."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayesexpr.data.counts import CountData
from bayesexpr.errors import CountsError, InputError

SAMPLES = pd.DataFrame({"dex": ["trt", "untrt"]}, index=["s1", "s2"])


def make(values: Any, genes: Any = ("a", "b", "c"), samples: Any = ("s1", "s2"), **more: Any) -> CountData:
    return CountData(np.asarray(values), genes, samples, more.pop("table", SAMPLES), **more)


def test_accepts_and_freezes() -> None:
    given = np.array([[1.0, 0.0, 2.0], [3.0, 0.0, 5.0]])
    data = make(given)
    assert data.counts.dtype == np.int64
    given[0, 0] = 99
    assert data.counts[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        data.counts[0, 0] = 5
    np.testing.assert_array_equal(data.expressed, [True, False, True])
    np.testing.assert_array_equal(data.library_sizes, [3, 8])
    again = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(again.counts, data.counts)


def test_largest_count_is_stans_largest_integer() -> None:
    assert make([[2**31 - 1, 0, 1], [1, 1, 1]]).counts.max() == 2**31 - 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1, 2, 3], [4, -1, -6]], r"gene 'b', sample 's2' is -1 \(2 such entries\). Pass raw counts"),
        ([[1, 2, 3.5], [4, 1, 6]], r"gene 'c', sample 's1' is 3.5 \(1 such entry\)"),
        ([[1, 2, np.nan], [4, 1, 6]], "gene 'c', sample 's1' is nan"),
        ([[1, np.inf, 2], [4, 1, 6]], "gene 'b', sample 's1' is inf"),
        ([[1, 2**31, 2], [4, 1, 6]], "gene 'b', sample 's1' is 2147483648"),
        ([[1, 1e300, 2], [4, 1, 6]], r"is 1e\+300"),
        ([[1, 2**64 - 1, 2], [4, 1, 6]], "is 18446744073709551615|is 1.8"),
        (np.array([[1, 10**30, 2], [4, 1, 6]], dtype=object), r"is 1e\+30"),
        ([["1", "2", "3"], ["4", "5", "6"]], "must be numbers"),
        ([[True, False, True], [True, True, True]], "must be numbers"),
        (np.array([[1, None, 2], [4, 1, 6]], dtype=object), "must be numbers"),
        (np.array([[1, "x", 2], [4, 1, 6]], dtype=object), "must be numbers"),
        ([[1, 1j, 2], [4, 1, 6]], "must be numbers"),
        ([[0, 0, 0], [4, 1, 6]], "'s1' has none. Remove it"),
        ([[0, 0, 0], [0, 0, 0]], "'s1', 's2' have none"),
        ([[1, 2], [3, 4]], r"has shape \(2, 2\)"),
        ([1, 2, 3], "has shape"),
    ],
)
def test_refuses_counts(values: Any, message: str) -> None:
    with pytest.raises(CountsError, match=message):
        make(values)


def test_errors_are_value_errors_with_exit_code() -> None:
    with pytest.raises(InputError) as caught:
        make([[1, 2, -3], [4, 5, 6]])
    assert isinstance(caught.value, ValueError)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        (("a", "a", "b"), "gene names must be unique; 'a' occurs 2 times"),
        (("a", "a ", "b"), "'a' and 'a ' differ only in blanks"),
        (("caf\u00e9", "cafe\u0301", "b"), "differ only in blanks, Unicode form"),
        (("gene", "ge\u200bne", "b"), "invisible characters"),
        (("a", "", "b"), "gene 2 has none"),
        (("a", "x\x1b[31m", "b"), "control character"),
        (("a", "x\ny", "b"), "control character"),
        (("a", "x" * 2000, "b"), "at most 1000 characters; gene 2 has 2000"),
    ],
)
def test_refuses_names(genes: tuple[str, ...], message: str) -> None:
    with pytest.raises(CountsError, match=message):
        make([[1, 2, 3], [4, 5, 6]], genes)


@pytest.mark.parametrize("genes", [("Abc", "ABC", "abc"), ("=cmd()", "<b>", "../x"), ("\u0430", "a", "b")])
def test_names_that_differ_visibly_or_in_case_are_kept(genes: tuple[str, ...]) -> None:
    """Homoglyphs are different letters; formulas and markup are only text here."""
    assert make([[1, 2, 3], [4, 5, 6]], genes).genes == genes


def test_size_limits() -> None:
    with pytest.raises(CountsError, match="at least two samples; the count table has 1"):
        make([[1, 2, 3]], samples=("s1",), table=SAMPLES[:1])
    with pytest.raises(CountsError, match="at least one gene"):
        make(np.zeros((2, 0)), ())


def test_sample_table_must_agree() -> None:
    with pytest.raises(CountsError, match="'s2' of the count table are not in the sample table"):
        make([[1, 2, 3], [4, 5, 6]], table=SAMPLES[:1])
    with pytest.raises(CountsError, match="in the order of the samples"):
        make([[1, 2, 3], [4, 5, 6]], table=SAMPLES[::-1])
    table = SAMPLES.copy()
    data = make([[1, 2, 3], [4, 5, 6]], table=table)
    table.loc["s1", "dex"] = "changed"
    assert data.sample_table.loc["s1", "dex"] == "trt"


def test_lengths() -> None:
    lengths = np.array([[100.0, 5.0, 2.0], [90.0, 5.0, 3.0]])
    assert make([[1, 2, 3], [4, 5, 6]], lengths=lengths).lengths is not None
    lengths[1, 1] = 0.0
    with pytest.raises(CountsError, match=r"gene 'b', sample 's2' is 0\.0"):
        make([[1, 2, 3], [4, 5, 6]], lengths=lengths)
    with pytest.raises(CountsError, match="lengths must be samples x genes"):
        make([[1, 2, 3], [4, 5, 6]], lengths=lengths[:, :2])


def test_subset_genes() -> None:
    data = make([[1, 0, 3], [4, 0, 6]], lengths=np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    for which in (["c", "a"], [2, 0]):
        subset = data.subset_genes(which)
        assert subset.genes == ("c", "a")
        np.testing.assert_array_equal(subset.counts, [[3, 1], [6, 4]])
        np.testing.assert_array_equal(subset.lengths, [[3, 1], [6, 4]])
    assert data.subset_genes(data.expressed).genes == ("a", "c")
    with pytest.raises(CountsError, match="'zz' are not"):
        data.subset_genes(["a", "zz"])


def test_from_frame_in_both_orientations_and_any_order() -> None:
    frame = pd.DataFrame({"s2": [4, 5, 6], "s1": [1, 2, 3]}, index=["a", "b", "c"])
    for given in (frame, frame.T):
        data = CountData.from_frame(given, SAMPLES)
        assert data.samples == ("s1", "s2")
        assert data.genes == ("a", "b", "c")
        np.testing.assert_array_equal(data.counts, [[1, 2, 3], [4, 5, 6]])


def test_square_tables_are_oriented_by_name() -> None:
    frame = pd.DataFrame([[1, 2], [3, 4]], index=["s1", "s2"], columns=["a", "b"])
    np.testing.assert_array_equal(CountData.from_frame(frame, SAMPLES).counts, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(CountData.from_frame(frame.T, SAMPLES).counts, [[1, 2], [3, 4]])


def test_samples_match_across_unicode_forms() -> None:
    table = pd.DataFrame({"dex": ["trt", "untrt"]}, index=["caf\u00e91", "s2"])
    frame = pd.DataFrame({"s2": [3, 4], "cafe\u03011": [1, 2]}, index=["a", "b"])
    data = CountData.from_frame(frame, table)
    assert data.samples == ("caf\u00e91", "s2")
    np.testing.assert_array_equal(data.counts, [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("index", "columns", "message"),
    [
        (["a", "b"], ["x", "y"], "the sample table has 's1', 's2', the columns are 'x', 'y'"),
        (["s1", "s2"], ["s1", "s2"], "2 of 2 are columns and 2 are rows"),
        (["a", "b"], ["s1", "s3"], "'s2' of the sample table are not in the count table; 's3' of the count table"),
    ],
)
def test_names_that_do_not_match(index: list[str], columns: list[str], message: str) -> None:
    with pytest.raises(CountsError, match=message):
        CountData.from_frame(pd.DataFrame([[1, 2], [3, 4]], index=index, columns=columns), SAMPLES)


def test_from_anndata() -> None:
    anndata = pytest.importorskip("anndata", reason="the h5ad extra is not installed")
    import scipy.sparse

    counts = np.array([[1, 0, 3], [4, 5, 0]])
    adata = anndata.AnnData(
        scipy.sparse.csr_matrix(counts.astype("float32") / 2),
        obs=SAMPLES.copy(),
        var=pd.DataFrame(index=["a", "b", "c"]),
        layers={"counts": counts},
    )
    with pytest.raises(CountsError, match=r"is 0.5 .*Pass raw counts"):
        CountData.from_anndata(adata)
    data = CountData.from_anndata(adata, layer="counts")
    np.testing.assert_array_equal(data.counts, counts)
    assert list(data.sample_table["dex"]) == ["trt", "untrt"]
    turned = CountData.from_anndata(adata, layer="counts", samples=SAMPLES[::-1])
    np.testing.assert_array_equal(turned.counts, counts[::-1])
    with pytest.raises(CountsError, match="'raw' is not among \\['counts'\\]"):
        CountData.from_anndata(adata, layer="raw")


def test_anndata_is_not_imported_with_the_package() -> None:
    if "anndata" not in sys.modules:
        import bayesexpr.data.readers  # noqa: F401

        assert "anndata" not in sys.modules
