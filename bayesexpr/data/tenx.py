"""10x Genomics folders: ``matrix.mtx`` (genes x cells), ``features.tsv`` or ``genes.tsv``, ``barcodes.tsv``."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np

from ..errors import CountsError
from .counts import LARGEST_COUNT, RAW
from .found import FoundCounts
from .identifiers import checked_names
from .localfile import read_bytes, read_text


def find_matrix(folder: Path) -> Path | None:
    """Return the matrix of a 10x folder, if it has one."""
    return _first(folder, ("matrix.mtx.gz", "matrix.mtx"))


def read_tenx(folder: Path) -> FoundCounts:
    """Read a 10x folder; genes are named by the first column of the features (the identifier).

    Raises
    ------
    CountsError
        A file is missing or damaged, sizes disagree, or a count is not a whole number from 0 to 2^31 - 1.
    """
    import scipy.io

    matrix = find_matrix(folder)
    features = _first(folder, ("features.tsv.gz", "features.tsv", "genes.tsv.gz", "genes.tsv"))
    barcodes = _first(folder, ("barcodes.tsv.gz", "barcodes.tsv"))
    if matrix is None or features is None or barcodes is None:
        raise CountsError(
            f"a 10x folder must hold matrix.mtx, features.tsv (or genes.tsv) and barcodes.tsv (also .gz); {folder} "
            f"holds {sorted(path.name for path in folder.iterdir())}."
        )
    genes = checked_names(_first_fields(features), "gene", str(features))
    cells = checked_names(_first_fields(barcodes), "sample", str(barcodes))
    try:
        with warnings.catch_warnings():
            # SciPy warns that the kind of sparse matrix will change; what is used here both kinds have
            warnings.simplefilter("ignore", DeprecationWarning)
            sparse = scipy.io.mmread(io.BytesIO(read_bytes(matrix)))
    except (ValueError, OverflowError, IndexError, TypeError) as error:
        raise CountsError(f"{matrix} must be a MatrixMarket file; it is not ({error}).") from None
    if sparse.shape != (len(genes), len(cells)):
        raise CountsError(
            f"a 10x matrix must be features x barcodes, {(len(genes), len(cells))}; {matrix} is {sparse.shape}."
        )
    values = np.asarray(sparse.data if hasattr(sparse, "data") else sparse)
    if values.dtype.kind not in "iuf":
        raise CountsError(f"counts must be numbers; {matrix} holds {values.dtype}. {RAW}")
    bad = ~((values >= 0) & (values <= LARGEST_COUNT) & (values == np.floor(values)))
    if bad.any():
        raise CountsError(
            f"counts must be whole numbers from 0 to {LARGEST_COUNT}; {matrix} has {values[bad][0]} "
            f"({int(bad.sum())} such entries). {RAW}"
        )
    dense = sparse.toarray() if hasattr(sparse, "toarray") else np.asarray(sparse)
    return FoundCounts(dense.T.astype(np.int64), genes, cells, None, str(folder))


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _first_fields(path: Path) -> list[str]:
    return [line.split("\t")[0] for line in read_text(path).split("\n") if line.strip()]
