"""Tables of featureCounts (Subread): annotation columns, then one column per alignment file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np

from ..errors import CountsError
from .counts import match_names
from .found import FoundCounts
from .identifiers import checked_names, listed
from .tables import Table

ANNOTATION = ("Geneid", "Chr", "Start", "End", "Strand", "Length")

# What aligners and pipelines put between the name of a sample and the end of its file name.
_NOT_NAME = re.compile(r"[._-]|Aligned")


def is_featurecounts(table: Table) -> bool:
    """Tell whether a table has the annotation columns of featureCounts."""
    return table.header[: len(ANNOTATION)] == ANNOTATION


def read_featurecounts(table: Table, samples: Sequence[str] | None) -> FoundCounts:
    """Take counts and gene lengths from a featureCounts table.

    Parameters
    ----------
    table
        As read.
    samples
        Sample names to match the paths of the alignment files with: the file name without folder and extension, the
        file name up to a dot, dash, underscore or ``Aligned``, or a folder of the path. None takes the stems of the
        files.

    Raises
    ------
    CountsError
        No alignment file or several belong to a sample, or one belongs to none; a count or a length is wrong.
    """
    first = len(ANNOTATION)
    paths = table.header[first:]
    if not paths:
        raise CountsError(f"a featureCounts table must have columns of counts; {table.path} has none.")
    genes = checked_names(table.names, "gene", str(table.path))
    columns = list(range(first, len(table.header)))
    counts = table.whole_numbers(columns).T
    lengths = table.numbers([first - 1])[:, 0]
    if samples is None:
        names = checked_names([_stem(path) for path in paths], "sample", str(table.path))
    else:
        owners = [_owner(path, samples) for path in paths]
        names = tuple(path if owner is None else owner for path, owner in zip(paths, owners, strict=True))
        repeated = [name for name in samples if owners.count(name) > 1]
        if repeated:
            mine = [path for path, owner in zip(paths, owners, strict=True) if owner == repeated[0]]
            raise CountsError(
                f"a sample must have one column of {table.path}; {repeated[0]!r} has {listed(mine)}. Rename the "
                "samples."
            )
        match_names(names, samples, str(table.path))
    return FoundCounts(counts, genes, names, np.tile(lengths, (len(names), 1)), str(table.path))


def _stem(path: str) -> str:
    return re.sub(r"\.(bam|sam|cram)$", "", PurePath(path).name, flags=re.IGNORECASE)


def _owner(path: str, samples: Sequence[str]) -> str | None:
    """Return the sample whose name a path bears: the longest, the file name before the folders."""
    stem = _stem(path)
    exact = [name for name in samples if name in (path, stem)]
    if exact:
        return exact[0]
    begins = [name for name in samples if stem.startswith(name) and _NOT_NAME.match(stem[len(name) :])]
    if begins:
        return max(begins, key=len)
    folders = [part for part in reversed(PurePath(path).parts[:-1]) if part in samples]
    return folders[0] if folders else None
