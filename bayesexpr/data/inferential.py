"""Inferential replicates of salmon and kallisto: how unsure assigning fragments to transcripts made each count.

A quantifier that was asked to (``salmon quant --numGibbsSamples`` or ``--numBootstraps``, ``kallisto quant -b``) leaves
draws of every transcript's count. Summed to genes, their variance is that of counting, about their mean, and that of
not knowing which of several transcripts a fragment came from; what exceeds the mean is the second (the inferential
relative variance of Zhu et al. 2019, *Nucleic Acids Research* 47:e105, is this excess over the mean).
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CountsError
from .tables import read_table

FloatArray = NDArray[np.float64]


def read_replicates(quantified: Path, transcripts: Sequence[str]) -> FloatArray | None:
    """Read the inferential replicates of one sample.

    Parameters
    ----------
    quantified
        Its ``quant.sf`` or ``abundance.tsv``, beside which the program leaves them: salmon in
        ``aux_info/bootstrap``, kallisto in ``abundance.h5`` or, with ``--plaintext``, in ``bs_abundance_*.tsv``.
    transcripts
        T names, in the order of the result.

    Returns
    -------
    array [replicate, transcript] of counts, or None
        None where there are fewer than two, or where h5py, which reads ``abundance.h5``, is not installed.

    Raises
    ------
    CountsError
        The file is damaged, or is of other transcripts.
    """
    folder = quantified.parent
    found = _salmon(folder) or _kallisto_tables(folder) or _kallisto_h5(folder)
    if found is None or len(found[1]) < 2:
        return None
    names, values, source = found
    if len(names) != len(transcripts) or set(names) != set(transcripts):
        raise CountsError(
            f"replicates must be of the transcripts of {quantified}; {source} has {len(names)} names, "
            f"{len(set(names) ^ set(transcripts))} of them in one of the two only. Quantify the sample again."
        )
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise CountsError(f"replicates must be counts; {source} has one that is negative or not finite.")
    if list(names) == list(transcripts):
        return values
    place = {name: position for position, name in enumerate(names)}
    return values[:, [place[name] for name in transcripts]]


def excess_variance(replicates: FloatArray, gene_of: NDArray[np.intp], genes: int) -> FloatArray:
    """Return the variance [gene] over replicates of summed counts, less their mean: below zero only by chance.

    Parameters
    ----------
    replicates
        [replicate, transcript], at least two.
    gene_of
        [transcript] number of its gene.
    genes
        G.
    """
    total, squares = np.zeros(genes), np.zeros(genes)
    centre = np.bincount(gene_of, weights=replicates[0], minlength=genes)  # against cancellation in large counts
    for row in replicates:
        apart = np.bincount(gene_of, weights=row, minlength=genes) - centre
        total += apart
        squares += apart**2
    number = len(replicates)
    variance = (squares - total**2 / number) / (number - 1)
    return np.asarray(variance - (centre + total / number), dtype=np.float64)


_Found = tuple[Sequence[str], FloatArray, Path]


def _salmon(folder: Path) -> _Found | None:
    aux = folder / _auxiliary(folder)
    path, names_path = aux / "bootstrap" / "bootstraps.gz", aux / "bootstrap" / "names.tsv.gz"
    if not (path.is_file() and names_path.is_file()):
        return None
    try:
        names = gzip.decompress(names_path.read_bytes()).decode("utf-8").split()
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise CountsError(f"{path} must hold salmon's replicates; it cannot be read: {error}.") from None
    if not names or len(raw) % (8 * len(names)):
        raise CountsError(
            f"{path} must hold a number of 8 bytes for each of {len(names)} transcripts and each replicate; it has "
            f"{len(raw)} bytes. Copy the whole folder of the sample."
        )
    return names, np.frombuffer(raw, dtype="<f8").reshape(-1, len(names)), path


def _auxiliary(folder: Path) -> str:
    """Name of salmon's auxiliary folder, which an option can change."""
    try:
        return str(json.loads((folder / "cmd_info.json").read_text(encoding="utf-8")).get("auxDir", "aux_info"))
    except (OSError, ValueError, AttributeError):
        return "aux_info"


def _kallisto_tables(folder: Path) -> _Found | None:
    files = sorted(folder.glob("bs_abundance_*.tsv"), key=lambda path: (len(path.name), path.name))
    if not files:
        return None
    names: list[str] = []
    rows = []
    for path in files:
        table = read_table(path)
        if "est_counts" not in table.header or (names and table.names != names):
            raise CountsError(f"{path} must be a replicate of kallisto with the transcripts of {files[0]}.")
        names = table.names
        rows.append(table.numbers([table.header.index("est_counts")])[:, 0])
    return names, np.array(rows), files[0]


def _kallisto_h5(folder: Path) -> _Found | None:
    path = folder / "abundance.h5"
    if not path.is_file():
        return None
    try:
        import h5py
    except ImportError:
        return None
    try:
        with h5py.File(path, "r") as file:
            if "bootstrap" not in file:
                return None
            names = [name.decode("utf-8") for name in file["aux/ids"][:]]
            draws: Any = file["bootstrap"]
            return names, np.array([draws[f"bs{number}"][:] for number in range(len(draws))], dtype=np.float64), path
    except (OSError, KeyError, ValueError, UnicodeDecodeError) as error:
        raise CountsError(f"{path} must hold kallisto's replicates; it cannot be read: {error}.") from None
