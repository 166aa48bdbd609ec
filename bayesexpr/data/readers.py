"""Read counts of any supported source into `CountData`, matched by name to the sample table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import CountsError
from .counts import CountData, match_names, match_samples
from .featurecounts import is_featurecounts, read_featurecounts
from .found import FoundCounts
from .h5ad import read_h5ad
from .identifiers import checked_names, listed
from .localfile import local_path
from .quantification import quantification_files, read_quantifications
from .sample_table import read_samples
from .star import read_star, star_files
from .tables import Table, read_table
from .tenx import find_matrix, read_tenx

FloatArray = NDArray[np.float64]


def read_counts(
    path: str | Path,
    samples: str | Path | pd.DataFrame | None = None,
    *,
    lengths: str | Path | None = None,
    tx2gene: str | Path | None = None,
    strand: str = "unstranded",
    layer: str | None = None,
) -> CountData:
    """Read a count table.

    Parameters
    ----------
    path
        A CSV or TSV file (also ``.gz``), genes x samples or samples x genes; a featureCounts table; a ``.h5ad``
        file; a folder of STAR's ``*ReadsPerGene.out.tab``; a 10x folder; or a folder that holds one salmon or
        kallisto folder per sample.
    samples
        Sample table: a CSV or TSV file whose first column is the sample name, or a data frame indexed by it. Its
        order is that of the result. Only sources that tell samples from genes by themselves can do without.
    lengths
        Table of effective lengths: the gene, and either one column or one per sample. Replaces what the source has.
    tx2gene
        For salmon and kallisto: table of transcript and gene.
    strand
        For STAR: ``unstranded``, ``forward`` or ``reverse``.
    layer
        For ``.h5ad``: the layer that holds raw counts.

    Returns
    -------
    CountData
        [S, G] counts with the sample table; effective lengths, and what assigning fragments adds to the variance of
        counts (from inferential replicates of salmon or kallisto), if known.

    Raises
    ------
    CountsError
        The file is not of a supported kind or is damaged, an entry is not a count, or names do not match; the
        message names the line, gene or sample.
    """
    found_path = local_path(path)
    table = samples if samples is None or isinstance(samples, pd.DataFrame) else read_samples(samples)
    if found_path.suffix == ".h5ad":
        data = read_h5ad(found_path, table, layer)
    else:
        is_folder = found_path.is_dir()
        found = _read_folder(found_path, tx2gene, strand) if is_folder else _read_file(path, table)
        data = _matched(found, table)
    if lengths is None:
        return data
    per_gene = read_lengths(lengths, data.genes, data.samples)
    return replace(data, lengths=per_gene)


def _read_folder(folder: Path, tx2gene: str | Path | None, strand: str) -> FoundCounts:
    if find_matrix(folder) is not None:
        return read_tenx(folder)
    if star_files(folder):
        return read_star(folder, strand)
    if quantification_files(folder):
        return read_quantifications(folder, tx2gene)
    raise CountsError(
        "a folder of counts must hold matrix.mtx (10x), *ReadsPerGene.out.tab (STAR), or a folder per sample with "
        f"quant.sf (salmon) or abundance.tsv (kallisto); {str(folder)!r} holds "
        f"{listed(sorted(path.name for path in folder.iterdir()))}."
    )


def _read_file(path: str | Path, samples: pd.DataFrame | None) -> FoundCounts:
    table = read_table(path)
    names = None if samples is None else checked_names(list(samples.index), "sample", "the sample table")
    if is_featurecounts(table):
        return read_featurecounts(table, names)
    if names is None:
        raise CountsError(
            f"the sample table must be given: it decides whether the samples are the rows or the columns of {path}."
        )
    return _orient(table, names)


def _orient(table: Table, samples: tuple[str, ...]) -> FoundCounts:
    if len(table.header) < 2:
        raise CountsError(f"a count table must have at least one column of counts; {table.path} has none.")
    source = str(table.path)
    rows = [name.strip() for name in table.names]
    # before names are matched, for a repeated sample would look like a missing one
    columns = checked_names(table.header[1:], "gene" if set(samples).isdisjoint(table.header) else "sample", source)
    by_column, order = match_samples(rows, columns, samples)
    rows_checked = checked_names(table.names, "gene" if by_column else "sample", source)
    values = table.whole_numbers()
    if by_column:
        return FoundCounts(values[:, order].T, rows_checked, samples, None, source)
    return FoundCounts(values[order], columns, samples, None, source)


def _matched(found: FoundCounts, samples: pd.DataFrame | None) -> CountData:
    if samples is None:
        names = found.samples
        table = pd.DataFrame(index=pd.Index(names, name="sample"))
    else:
        names = checked_names(list(samples.index), "sample", "the sample table")
        table = samples
    order = match_names(found.samples, names, found.source)
    lengths = None if found.lengths is None else found.lengths[order]
    unsure = None if found.assignment_variance is None else found.assignment_variance[order]
    return CountData(found.counts[order], found.genes, names, table, lengths, unsure)


def read_lengths(path: str | Path, genes: tuple[str, ...], samples: tuple[str, ...]) -> FloatArray:
    """Read effective lengths in nucleotides: a column for all samples, or one per sample.

    Parameters
    ----------
    path
        CSV or TSV with a header; first column the gene. Genes that are not asked for are passed over.
    genes, samples
        G and S names that the result follows.

    Returns
    -------
    numpy.ndarray
        [S, G] positive.

    Raises
    ------
    CountsError
        A gene or a sample is missing, or a length is not a positive number.
    """
    table = read_table(path)
    names = checked_names(table.names, "gene", str(table.path))
    titles = list(table.header)
    if len(titles) == 2:
        columns = [1] * len(samples)
    else:
        missing = [name for name in samples if name not in titles[1:]]
        if missing:
            raise CountsError(
                f"a table of lengths must have one column, or one per sample; {table.path} has "
                f"{listed(titles[1:])} and none for {listed(missing)}. Keep the gene and one column."
            )
        columns = [titles.index(name, 1) for name in samples]
    position = {name: row for row, name in enumerate(names)}
    absent = [gene for gene in genes if gene not in position]
    if absent:
        raise CountsError(f"every gene must have a length in {table.path}; {listed(absent)} have none. Add them.")
    values = table.numbers(sorted(set(columns)))
    bad = values <= 0
    if bad.any():
        row = int(np.argmax(bad.any(axis=1)))
        raise CountsError(
            f"lengths must be positive; gene {names[row]!r} is {values[row][bad[row]][0]:g} (line "
            f"{table.lines[row]} of {table.path}; {int(bad.any(axis=1).sum())} such genes)."
        )
    chosen = values[:, np.searchsorted(sorted(set(columns)), columns)]
    return np.ascontiguousarray(chosen[[position[gene] for gene in genes]].T)
