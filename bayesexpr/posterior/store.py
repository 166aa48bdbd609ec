"""A posterior on disk: a zarr store in ArviZ's schema, written a block of genes at a time and read lazily.

The genes' draws are uncompressed chunks, whose files are by zarr's specification nothing but the numbers in C order.
They are written and read as such: zarr's own way through an event loop takes several times as long.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from bayesexpr.errors import InputError
from bayesexpr.names import COUNTS, GENE, SAMPLE
from bayesexpr.posterior.de_draws import GENES_PER_BLOCK, GeneBlock, Single

if TYPE_CHECKING:
    import xarray as xr

POSTERIOR = "posterior.zarr"
COMPONENT = "component"
TESTED = "tested_coefficient"
OTHER = "other_coefficient"

GENE_VARIABLES: dict[str, tuple[str, ...]] = {
    "alpha": (),
    "log_phi": (),
    "beta": (TESTED,),
    "gamma": (OTHER,),
    "probability": (COMPONENT,),
}
"""What is kept of every gene, with the dimension after (chain, draw, gene)."""

PLAIN = {"compressor": None, "filters": None, "dtype": "<f4", "order": "C", "dimension_separator": "."}
"""Layout of an array whose chunks are files of nothing but its numbers."""


def create(
    path: Path,
    hyper: Mapping[str, Any],
    sampler: Mapping[str, Any],
    coords: Mapping[str, Any],
    counts: Any,
    constant: Mapping[str, tuple[tuple[str, ...], Any]],
) -> None:
    """Write everything but the genes' draws, and lay out the room for those.

    Parameters
    ----------
    hyper
        Hyperparameters [chain, draw, ...].
    sampler
        Columns of the sampler [chain, draw].
    coords
        Labels of gene, sample_id, coefficient and component dimensions.
    counts
        [sample, gene].
    constant
        What the fit was conditional on: dims and values.
    """
    import xarray as xr
    import zarr

    inner = {"m": (TESTED,), "weight": (COMPONENT,), "tau": ("other_term",), "log_f": (SAMPLE,)}
    labels = {k: (k, np.asarray(v, dtype=object if k != "draw" else None)) for k, v in coords.items()}
    variables = {k: (("chain", "draw", *inner.get(k, ())), np.asarray(v)) for k, v in hyper.items() if np.size(v)}

    def group(values: Mapping[str, Any]) -> xr.Dataset:
        used = {d for dims, _ in values.values() for d in dims}
        return xr.Dataset(dict(values), coords={k: labels[k] for k in labels if k in used})

    everywhere = {k: v for k, v in labels.items() if k != SAMPLE or "log_f" in variables}
    shape = np.shape(hyper["mu_alpha"])
    tree = xr.DataTree.from_dict(
        {
            "/posterior": xr.Dataset(variables, coords=everywhere),
            "/sample_stats": group({k: (("chain", "draw"), np.asarray(v)) for k, v in sampler.items()}),
            "/observed_data": group({COUNTS: ((SAMPLE, GENE), np.asarray(counts))}),
            "/constant_data": group(constant),
        }
    )
    tree.to_zarr(path, mode="w", zarr_format=2, consolidated=False)
    posterior = zarr.open_group(path, mode="a", zarr_format=2)["posterior"]
    genes = len(coords[GENE])
    for name, extra in GENE_VARIABLES.items():
        tail = tuple(len(coords[d]) for d in extra)
        if 0 in tail:
            continue
        array = posterior.create_array(  # type: ignore[union-attr]
            name,
            shape=(*shape, genes, *tail),
            chunks=(*shape, min(GENES_PER_BLOCK, genes), *tail),
            dtype="f4",
            fill_value=np.nan,  # xarray reads a fill value as missing, and 0 is a probability
            compressors=None,
        )
        array.attrs["_ARRAY_DIMENSIONS"] = ["chain", "draw", GENE, *extra]


def write_block(path: Path, block: GeneBlock) -> None:
    """Write the draws of some genes; no other thread may write to the same chunks at the same time."""
    for name in GENE_VARIABLES:
        values = getattr(block, name)
        array = _Chunks.of(path, name)
        if array is not None and values.size:
            array.write(block.genes, values)


def open_tree(path: Path) -> xr.DataTree:
    """Open a store; arrays are read when they are used."""
    import xarray as xr

    return xr.open_datatree(path, engine="zarr", consolidated=False)


def read_blocks(path: Path, size: int = GENES_PER_BLOCK) -> Iterator[GeneBlock]:
    """Read the draws of all genes back, a block at a time."""
    arrays, genes = _arrays(path)
    for start in range(0, genes, size):
        cut = slice(start, min(start + size, genes))
        yield GeneBlock(cut, **{name: array.read(cut) for name, array in arrays.items()})


def read_genes(path: Path, genes: NDArray[np.int64]) -> GeneBlock:
    """Read the draws of some genes, given their places among the fitted ones, in that order."""
    arrays, _ = _arrays(path)
    of_block = genes // GENES_PER_BLOCK  # a block is read whole, whatever is wanted of it
    wanted = [np.flatnonzero(of_block == block) for block in np.unique(of_block)]
    back = np.argsort(np.concatenate(wanted))

    def pick(array: _Chunks | _NoColumns) -> Single:
        parts = []
        for places in wanted:
            start = int(of_block[places[0]]) * GENES_PER_BLOCK
            parts.append(array.read(slice(start, start + GENES_PER_BLOCK))[:, :, genes[places] - start])
        return np.concatenate(parts, axis=2)[:, :, back]

    return GeneBlock(slice(0, len(genes)), **{name: pick(array) for name, array in arrays.items()})


@dataclass(frozen=True)
class _Chunks:
    """The chunks [chain, draw, gene, ...] of a variable of the genes, one after another along the genes.

    Attributes
    ----------
    folder
        Of the array; what is not there has not been written, or cannot be, for want of columns.
    shape
        Of the whole array.
    size
        Genes of a chunk.
    """

    folder: Path
    shape: tuple[int, ...]
    size: int

    @classmethod
    def of(cls, path: Path, name: str) -> _Chunks | None:
        """Find a variable; None where the design leaves no columns for it."""
        folder = path / "posterior" / name
        if not folder.is_dir():
            return None
        layout = json.loads((folder / ".zarray").read_text())
        shape, chunks = tuple(layout["shape"]), tuple(layout["chunks"])
        if PLAIN.items() <= layout.items() and (*chunks[:2], *chunks[3:]) == (*shape[:2], *shape[3:]):
            return cls(folder, shape, chunks[2])
        raise InputError(
            f"the draws of {name} are to be uncompressed 32-bit numbers in chunks along the genes alone, as they are "
            f"when a fit ends; {folder / '.zarray'} says otherwise. Keep the folder as it was, and copies beside it."
        )

    def write(self, genes: slice, values: Single) -> None:
        """Write the values of some genes."""
        for number in range(genes.start // self.size, -(-genes.stop // self.size)):
            first = number * self.size
            start, stop = max(genes.start, first), min(genes.stop, first + self.size)
            chunk = values[:, :, start - genes.start : stop - genes.start]
            if stop - start < self.size:
                whole = self._chunk(number)
                whole[:, :, start - first : stop - first] = chunk
                chunk = whole
            np.ascontiguousarray(chunk, dtype="<f4").tofile(self._file(number))

    def read(self, genes: slice) -> Single:
        """Read the values of some genes."""
        stop = min(genes.stop, self.shape[2])
        parts = []
        for number in range(genes.start // self.size, -(-stop // self.size)):
            first = number * self.size
            parts.append(self._chunk(number)[:, :, max(genes.start - first, 0) : stop - first])
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)

    def _file(self, number: int) -> Path:
        return self.folder / ".".join(("0", "0", str(number), *("0" for _ in self.shape[3:])))

    def _chunk(self, number: int) -> Single:
        """One chunk, whole; missing values where nothing has been written."""
        shape = (*self.shape[:2], self.size, *self.shape[3:])
        file = self._file(number)
        if not file.is_file():
            return np.full(shape, np.nan, "<f4")
        values = np.fromfile(file, "<f4")
        if values.size != np.prod(shape):
            raise InputError(
                f"{file} holds {values.size:,} numbers where {np.prod(shape):,} belong: the draws of its genes are not "
                "whole. Copy the run again, or fit it anew."
            )
        return values.reshape(shape)


@dataclass(frozen=True)
class _NoColumns:
    """What stands for the chunks of a variable that the design leaves no columns for."""

    shape: tuple[int, ...]

    def read(self, genes: slice) -> Single:
        """Return an array without any columns."""
        return np.empty((*self.shape[:2], min(genes.stop, self.shape[2]) - genes.start, 0), dtype=np.float32)


def _arrays(path: Path) -> tuple[dict[str, _Chunks | _NoColumns], int]:
    """Find the genes' variables, and their number."""
    shape = cast("_Chunks", _Chunks.of(path, "alpha")).shape
    return {name: _Chunks.of(path, name) or _NoColumns(shape) for name in GENE_VARIABLES}, shape[2]
