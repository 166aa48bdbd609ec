"""Folders of STAR's ``--quantMode GeneCounts``: one ``*ReadsPerGene.out.tab`` per sample.

Columns: gene, then reads counted as unstranded, with the first read on the RNA's strand, and with the second read
on it. The first four rows are reads counted to no gene.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import CountsError, OptionError
from .found import FoundCounts
from .identifiers import checked_names
from .localfile import read_text
from .tables import parse_table

SUFFIX = "ReadsPerGene.out.tab"
HEADER = ("gene", "unstranded", "forward", "reverse")
NOT_GENES = ("N_unmapped", "N_multimapping", "N_noFeature", "N_ambiguous")


def star_files(folder: Path) -> list[Path]:
    """Return the count files in a folder and its sub-folders, in order of name."""
    return sorted(path for pattern in (f"*{SUFFIX}*", f"*/*{SUFFIX}*") for path in folder.glob(pattern))


def read_star(folder: Path, strand: str = "unstranded") -> FoundCounts:
    """Read a folder of STAR's gene counts.

    Parameters
    ----------
    folder
        Holds ``<sample>ReadsPerGene.out.tab`` files or ``<sample>/ReadsPerGene.out.tab`` (also ``.gz``).
    strand
        ``unstranded``, ``forward`` (htseq-count's ``yes``) or ``reverse``.

    Raises
    ------
    OptionError
        `strand` is none of the three.
    CountsError
        A file is not such a table, or the files differ in their genes.
    """
    if strand not in HEADER[1:]:
        raise OptionError(f"strand must be one of {HEADER[1:]}; found {strand!r}.")
    names: list[str] = []
    rows: list[np.ndarray[tuple[int, ...], np.dtype[np.int64]]] = []
    genes: list[str] = []
    for path in star_files(folder):
        prefix = path.name.split(SUFFIX)[0].rstrip("._-")
        names.append(prefix or path.parent.name)
        table = parse_table(read_text(path), path, HEADER)
        if tuple(table.names[:4]) != NOT_GENES:
            raise CountsError(f"a file of STAR's gene counts must begin with {NOT_GENES}; {path} does not.")
        if genes and table.names[4:] != genes:
            raise CountsError(f"files of STAR's gene counts must have the same genes; {path} differs from the first.")
        genes = table.names[4:]
        rows.append(table.whole_numbers([HEADER.index(strand)])[4:, 0])
    return FoundCounts(
        np.array(rows),
        checked_names(genes, "gene", str(folder)),
        checked_names(names, "sample", str(folder)),
        None,
        str(folder),
    )
