"""Delimited text tables: names in the first column, strict numbers in the others."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import CountsError
from .counts import LARGEST_COUNT, RAW
from .localfile import read_text

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_COMMENT = re.compile(r"#($|[ #!])")


@dataclass(frozen=True, eq=False)
class Table:
    """A text table of n rows and columns, as read.

    Parameters
    ----------
    path
        File it came from.
    header
        Column titles, that of the names first (empty if the file has none).
    names
        First field of each row.
    lines
        Line of each row in the file, from 1.
    bodies
        Other fields of each row, joined by line feeds (which no field holds).
    """

    path: Path
    header: tuple[str, ...]
    names: list[str]
    lines: list[int]
    bodies: list[str]

    def column(self, index: int) -> list[str]:
        """Return the text of a column; 0 is that of the names."""
        return self.names if index == 0 else [body.split("\n")[index - 1] for body in self.bodies]

    def numbers(self, columns: Sequence[int] | None = None) -> FloatArray:
        """Return columns (all but the names by default) as numbers, [n, columns].

        Raises
        ------
        CountsError
            A field is not a plain finite decimal number; the message has its line.
        """
        return self._parsed(columns, whole=False).astype(np.float64)

    def whole_numbers(self, columns: Sequence[int] | None = None) -> IntArray:
        """Return columns as counts, [n, columns]: whole numbers from 0 to 2^31 - 1; ``12.0`` is one.

        Raises
        ------
        CountsError
            A field is not such a number; the message has its line.
        """
        return self._parsed(columns, whole=True).astype(np.int64)

    def _parsed(self, columns: Sequence[int] | None, whole: bool) -> NDArray[np.generic]:
        chosen = list(range(1, len(self.header))) if columns is None else list(columns)
        if columns is None:
            text = "\n".join(self.bodies)
        else:
            text = "\n".join(row[i - 1] for row in map(_split, self.bodies) for i in chosen)
        shape = (len(self.names), len(chosen))
        values = _fast_numbers(text, shape[0] * shape[1])
        if values is None or _breaks_rule(values, whole).any():
            # One slow walk finds the line; what it accepts (blanks around a number) is fine after all.
            values = self._slow_numbers(text, chosen, whole)
        return values.reshape(shape)

    def _slow_numbers(self, text: str, columns: list[int], whole: bool) -> FloatArray:
        fields = [field.strip(" \t") for field in text.split("\n")]
        values = np.array([float(field) if NUMBER.fullmatch(field) else np.nan for field in fields])
        bad = _breaks_rule(values, whole)
        if bad.any():
            first = int(np.argmax(bad))
            row, column = divmod(first, len(columns))
            rule = (
                f"counts must be whole numbers from 0 to {LARGEST_COUNT}" if whole else "values must be finite numbers"
            )
            shown = repr(fields[first][:40]) if fields[first] else "empty"
            entries = int(bad.sum())
            raise CountsError(
                f"{rule}; line {self.lines[row]} of {self.path}, row {self.names[row]!r}, column "
                f"{self.header[columns[column]]!r} is {shown} ({entries} such "
                f"{'entry' if entries == 1 else 'entries'}). "
                + (RAW if whole else "Give plain decimal numbers, without units or thousands separators.")
            )
        return values


# The nearest double to what is written: from pandas 3.1 on that is the default, and asking for it is deprecated.
_EXACT: dict[str, Any] = (
    {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}
)


def _split(body: str) -> list[str]:
    return body.split("\n")


def _fast_numbers(text: str, size: int) -> NDArray[np.generic] | None:
    """Parse one number per line with pandas' C parser, or return None if they are not all numbers."""
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            header=None,
            sep="\x1f",
            na_filter=False,
            skip_blank_lines=False,
            quoting=csv.QUOTE_NONE,
            low_memory=False,
            **_EXACT,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, OverflowError):
        return None
    if frame.shape != (size, 1):
        return None
    values = frame.iloc[:, 0].to_numpy()
    return values if values.dtype.kind in "iuf" else None


def _breaks_rule(values: NDArray[np.generic], whole: bool) -> NDArray[np.bool_]:
    numbers = values.astype(np.float64)
    bad = ~np.isfinite(numbers)
    if whole:
        bad |= (numbers < 0) | (numbers > LARGEST_COUNT) | (numbers != np.floor(numbers))
    return np.asarray(bad)


def read_table(path: str | Path) -> Table:
    """Read a CSV or TSV file (also ``.gz``): tab, comma or semicolon, whichever its first line has.

    Leading comment lines (``# ...``) and empty lines are skipped. A header one field shorter than the rows, as R
    writes it, lacks the title of the names.

    Raises
    ------
    CountsError
        The file cannot be read as text; it has no separator, no row, a row of another length than the header, or a
        quoted field that is not closed or spans lines.
    """
    return parse_table(read_text(path), Path(path))


def parse_table(text: str, path: Path, header: Sequence[str] | None = None) -> Table:
    """Read a table from text; `header` names the columns of a file that has no header line."""
    separator = _separator(text, path)
    rows = _rows(text, separator, path)
    first = next(rows, None)
    if first is None:
        raise CountsError(f"a table must not be empty; {str(path)!r} is.")
    titles = [title.strip() for title in first[1]] if header is None else list(header)
    names: list[str] = []
    lines: list[int] = []
    bodies: list[str] = []
    pending = iter([first]) if header is not None else iter([])
    for line, row in _chain(pending, rows):
        if not names and header is None and len(row) == len(titles) + 1:
            titles = ["", *titles]
        if len(row) != len(titles):
            raise CountsError(
                f"every row must have as many fields as the header, {len(titles)}; line {line} of {path} has "
                f"{len(row)}."
            )
        names.append(row[0])
        lines.append(line)
        bodies.append("\n".join(row[1:]))
    if not names:
        raise CountsError(f"a table must have rows; {str(path)!r} has only a header.")
    return Table(path, tuple(titles), names, lines, bodies)


def _chain(
    first: Iterator[tuple[int, list[str]]], rest: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, list[str]]]:
    yield from first
    yield from rest


def _is_comment(line: str) -> bool:
    return _COMMENT.match(line) is not None


def _separator(text: str, path: Path) -> str:
    start = 0
    while True:
        stop = text.find("\n", start)
        line = text[start:] if stop < 0 else text[start:stop]
        if line.strip() and not _is_comment(line):
            break
        if stop < 0:
            raise CountsError(f"a table must not be empty; {str(path)!r} holds only comments.")
        start = stop + 1
    bare = re.sub(r'"[^"]*"', "", line)
    if "\t" in bare:
        return "\t"
    if bare.count(";") > bare.count(","):
        return ";"
    if "," in bare:
        return ","
    raise CountsError(
        f"columns must be separated by tab, comma or semicolon; the first line of {str(path)!r} has none: "
        f"{line[:60]!r}."
    )


def _rows(text: str, separator: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the fields of each row, leading comments and empty lines left out."""
    reader = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
    before = 0
    started = False
    try:
        for row in reader:
            line, before = before + 1, reader.line_num
            if before > line:
                raise CountsError(
                    f"a field must not span lines; one does from line {line} of {path}. Check its quotes."
                )
            if not row or (not started and _is_comment(separator.join(row))):
                continue
            started = True
            yield line, row
    except csv.Error as error:
        raise CountsError(f"line {reader.line_num} of {str(path)!r} is not a row of a table: {error}.") from None
