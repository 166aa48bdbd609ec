"""The sample table: one row per sample, typed columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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


def samples_record(table: pd.DataFrame) -> dict[str, Any]:
    """Return a sample table as plain lists for JSON, with what a text table would lose.

    The order of levels decides the signs of a design's columns, so that a stored fit needs it back; missing values
    are
    None.
    """
    columns = []
    for name, column in table.items():
        record: dict[str, Any] = {"name": str(name), "dtype": str(column.dtype)}
        values = column
        if isinstance(column.dtype, pd.CategoricalDtype):
            record["dtype"] = "category"
            record["levels"] = column.cat.categories.tolist()
            record["ordered"] = bool(column.cat.ordered)
            values = column.cat.codes
        elif not pd.api.types.is_numeric_dtype(column):
            record["dtype"] = "object"
        record["values"] = [None if pd.isna(value) else value for value in values.tolist()]
        columns.append(record)
    return {"index": [str(sample) for sample in table.index], "title": table.index.name, "columns": columns}


def samples_from_record(record: Mapping[str, Any]) -> pd.DataFrame:
    """Return the sample table that `samples_record` described."""
    index = pd.Index(record["index"], name=record["title"])
    columns: dict[str, pd.Series] = {}
    for column in record["columns"]:
        if column["dtype"] == "category":
            levels = pd.Categorical.from_codes(column["values"], column["levels"], ordered=column["ordered"])
            columns[column["name"]] = pd.Series(levels, index=index)
        else:
            columns[column["name"]] = pd.Series(column["values"], index=index, dtype=column["dtype"])
    return pd.DataFrame(columns, index=index)
