"""The sample table: one row per sample, typed columns."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from .identifiers import checked_names
from .tables import NUMBER, Table, read_table

MISSING = frozenset({"", "NA", "N/A", "NaN", "nan"})


def read_samples(path: str | Path) -> pd.DataFrame:
    """Read a sample table, CSV or TSV (also ``.gz``); its first column is the sample name.

    A column is numeric (float, or int where all are whole) if each of its values is a plain decimal number, and
    categorical with sorted levels if not. Empty fields and NA are missing values, which only matter in a column
    that a design names.

    Returns
    -------
    pandas.DataFrame
        Indexed by sample.

    Raises
    ------
    CountsError
        The file is not a table, or sample or column names are missing or repeated.
    """
    return typed_samples(read_table(path))


def typed_samples(table: Table) -> pd.DataFrame:
    """Return a text table as a sample table; `read_samples` tells how columns are typed."""
    names = checked_names(table.names, "sample", str(table.path))
    titles = checked_names(table.header[1:], "column", str(table.path)) if len(table.header) > 1 else ()
    index = pd.Index(names, name=table.header[0].strip() or "sample")
    columns = {title: _typed(table.column(i), index) for i, title in enumerate(titles, start=1)}
    return pd.DataFrame(columns, index=index)


def _typed(fields: list[str], index: pd.Index) -> pd.Series:
    values = [None if field.strip() in MISSING else field.strip() for field in fields]
    present = [value for value in values if value is not None]
    if present and all(NUMBER.fullmatch(value) for value in present):
        numbers = pd.Series([float("nan") if value is None else float(value) for value in values], index=index)
        if len(present) == len(values) and (numbers % 1 == 0).all() and numbers.abs().max() < 2**53:
            return numbers.astype("int64")
        return numbers
    return pd.Series(pd.Categorical(values, categories=sorted(set(present))), index=index)
