"""Folders of salmon (``quant.sf``) and kallisto (``abundance.tsv``), one per sample.

Estimated transcript counts are summed to genes; the effective length of a gene in a sample is the mean over its
transcripts weighted by their TPM (Soneson, Love and Robinson 2015, *F1000Research* 4:1521), so that a switch of
isoforms is not taken for a change of expression. Inferential replicates, where every sample has them, say how unsure
assigning fragments made each count (:mod:`.inferential`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import CountsError
from .found import FoundCounts
from .identifiers import checked_names, listed
from .inferential import excess_variance, read_replicates
from .tables import Table, read_table

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FILES = ("quant.sf", "quant.sf.gz", "abundance.tsv", "abundance.tsv.gz")
# Effective length, TPM and estimated count, by the header of either program.
_COLUMNS = {
    ("Name", "Length", "EffectiveLength", "TPM", "NumReads"): (2, 3, 4),
    ("target_id", "length", "eff_length", "est_counts", "tpm"): (2, 4, 3),
}


@dataclass(frozen=True, eq=False)
class Quantified:
    """Transcript estimates: [S, T] counts, TPM and effective lengths."""

    transcripts: tuple[str, ...]
    samples: tuple[str, ...]
    counts: FloatArray
    abundance: FloatArray
    lengths: FloatArray


def quantification_files(folder: Path) -> dict[str, Path]:
    """Return the estimates of each sample, by the name of its sub-folder, in order."""
    found = {}
    for sub in sorted(path for path in folder.iterdir() if path.is_dir()):
        file = next((sub / name for name in FILES if (sub / name).is_file()), None)
        if file is not None:
            found[sub.name] = file
    return found


def read_quantifications(folder: Path, tx2gene: str | Path | None = None) -> FoundCounts:
    """Read salmon or kallisto estimates of several samples.

    Counts are rounded to whole numbers by largest remainder within each sample, so that its total stays.

    Parameters
    ----------
    folder
        Holds one folder per sample.
    tx2gene
        Table whose first two columns are transcript and gene; without it transcripts are kept.

    Raises
    ------
    CountsError
        A file is neither program's; the samples differ in transcripts; a transcript has no gene.
    """
    quantified = _read_all(folder)
    if tx2gene is None:
        genes, counts, lengths = quantified.transcripts, quantified.counts, quantified.lengths
        number = np.arange(len(genes))
    else:
        gene_of = _gene_of(quantified.transcripts, read_table(tx2gene))
        genes, counts, lengths = summarise(quantified, gene_of)
        position = {gene: index for index, gene in enumerate(genes)}
        number = np.array([position[gene] for gene in gene_of], dtype=np.intp)
    unsure = _assignment_variance(folder, quantified.transcripts, number, len(genes))
    return FoundCounts(round_keeping_totals(counts), genes, quantified.samples, lengths, str(folder), unsure)


def _assignment_variance(
    folder: Path, transcripts: Sequence[str], gene_of: NDArray[np.intp], genes: int
) -> FloatArray | None:
    """[S, G] of the samples' replicates; None unless every sample has them."""
    rows = []
    for path in quantification_files(folder).values():
        replicates = read_replicates(path, transcripts)
        if replicates is None:
            return None
        rows.append(excess_variance(replicates, gene_of, genes))
    return np.array(rows)


def _read_all(folder: Path) -> Quantified:
    transcripts: list[str] = []
    parts: list[FloatArray] = []
    files = quantification_files(folder)
    for path in files.values():
        table = read_table(path)
        if table.header not in _COLUMNS:
            raise CountsError(f"{path} must have the columns of salmon or kallisto; it has {listed(table.header, 8)}.")
        if transcripts and table.names != transcripts:
            raise CountsError(
                f"all samples must be quantified on the same transcripts; {path} differs from the first in "
                f"{len(set(transcripts) ^ set(table.names))} names or in their order. Use one index."
            )
        transcripts = table.names
        values = table.numbers(_COLUMNS[table.header])
        if (values < 0).any():
            row = int(np.argmax((values < 0).any(axis=1)))
            raise CountsError(
                f"lengths, abundances and counts must not be negative; line {table.lines[row]} of {path} has one."
            )
        parts.append(values)
    lengths, abundance, counts = np.moveaxis(np.array(parts), 2, 0)
    return Quantified(
        checked_names(transcripts, "transcript", str(folder)),
        checked_names(list(files), "sample", str(folder)),
        counts,
        abundance,
        # Programs give a transcript shorter than any fragment a length near zero; a start position is the least.
        np.maximum(lengths, 1.0),
    )


def _gene_of(transcripts: Sequence[str], table: Table) -> list[str]:
    if len(table.header) < 2:
        raise CountsError(f"a transcript-to-gene table must have two columns; {table.path} has {len(table.header)}.")
    genes: dict[str, str] = {}
    for line, transcript, gene in zip(table.lines, table.names, table.column(1), strict=True):
        name = transcript.strip()
        if genes.setdefault(name, gene.strip()) != gene.strip():
            raise CountsError(
                f"a transcript must have one gene; {name!r} has {genes[name]!r} and {gene!r} (line {line} of "
                f"{table.path})."
            )
    missing = [transcript for transcript in transcripts if transcript not in genes]
    if missing:
        raise CountsError(
            f"every transcript must have a gene in {table.path}; {listed(missing)} have none. Do the names differ "
            "by a version such as '.2'?"
        )
    return [genes[transcript] for transcript in transcripts]


def summarise(quantified: Quantified, gene_of: Sequence[str]) -> tuple[tuple[str, ...], FloatArray, FloatArray]:
    """Sum transcripts to genes.

    Parameters
    ----------
    quantified
        S samples, T transcripts.
    gene_of
        [T] gene of each transcript.

    Returns
    -------
    genes
        G names, in order of first appearance.
    counts
        [S, G] sums.
    lengths
        [S, G] means of effective lengths weighted by TPM. Where a gene has no abundance in a sample: the geometric
        mean of its other samples; where it has none anywhere, the plain mean over its transcripts and all samples.
    """
    genes = checked_names(list(dict.fromkeys(gene_of)), "gene", "the transcript-to-gene table")
    position = {gene: index for index, gene in enumerate(dict.fromkeys(gene_of))}
    index = np.array([position[gene] for gene in gene_of], dtype=np.intp)

    def by_gene(values: FloatArray) -> FloatArray:
        return np.array([np.bincount(index, weights=row, minlength=len(genes)) for row in values])

    abundance = by_gene(quantified.abundance)
    present = abundance > 0
    weighted = by_gene(quantified.abundance * quantified.lengths)
    plain = by_gene(quantified.lengths.mean(axis=0, keepdims=True))[0] / np.bincount(index, minlength=len(genes))
    logs = np.log(np.divide(weighted, abundance, out=np.ones_like(weighted), where=present))
    seen = present.sum(axis=0)
    geometric = np.exp((logs * present).sum(axis=0) / np.maximum(seen, 1))
    lengths = np.where(present, np.exp(logs), np.where(seen > 0, geometric, plain))
    return genes, by_gene(quantified.counts), lengths


def round_keeping_totals(counts: FloatArray) -> IntArray:
    """Round each row to whole numbers that sum to its rounded total: the largest remainders are rounded up."""
    whole = np.floor(counts)
    remainder = counts - whole
    result = whole.astype(np.int64)
    for row in range(len(counts)):
        up = int(np.rint(counts[row].sum()) - whole[row].sum())
        result[row, np.argsort(-remainder[row], kind="stable")[:up]] += 1
    return result
