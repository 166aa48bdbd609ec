"""A posterior on disk: a zarr store in ArviZ's schema, written a block of genes at a time and read lazily."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesexpr.names import COUNTS, GENE, SAMPLE
from bayesexpr.posterior.de_draws import GENES_PER_BLOCK, GeneBlock

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
    """Write the draws of some genes."""
    import zarr

    posterior: Any = zarr.open_group(path, mode="a", zarr_format=2)["posterior"]
    for name in GENE_VARIABLES:
        values = getattr(block, name)
        if name in posterior and values.size:
            posterior[name][:, :, block.genes] = values


def open_tree(path: Path) -> xr.DataTree:
    """Open a store; arrays are read when they are used."""
    import xarray as xr

    return xr.open_datatree(path, engine="zarr", consolidated=False)


def read_blocks(path: Path, size: int = GENES_PER_BLOCK) -> Iterator[GeneBlock]:
    """Read the draws of all genes back, a block at a time."""
    import zarr

    posterior: Any = zarr.open_group(path, mode="r", zarr_format=2)["posterior"]
    genes = posterior["alpha"].shape[2]
    for start in range(0, genes, size):
        cut = slice(start, min(start + size, genes))
        yield GeneBlock(cut, **{name: _read(posterior, name, cut) for name in GENE_VARIABLES})


def read_genes(path: Path, genes: NDArray[np.int64]) -> GeneBlock:
    """Read the draws of some genes, given their places among the fitted ones, in that order."""
    import zarr

    posterior: Any = zarr.open_group(path, mode="r", zarr_format=2)["posterior"]
    of_block = genes // GENES_PER_BLOCK  # a block is read whole, whatever is wanted of it
    wanted = [np.flatnonzero(of_block == block) for block in np.unique(of_block)]
    back = np.argsort(np.concatenate(wanted))

    def pick(name: str) -> Any:
        parts = []
        for places in wanted:
            start = int(of_block[places[0]]) * GENES_PER_BLOCK
            parts.append(_read(posterior, name, slice(start, start + GENES_PER_BLOCK))[:, :, genes[places] - start])
        return np.concatenate(parts, axis=2)[:, :, back]

    return GeneBlock(slice(0, len(genes)), **{name: pick(name) for name in GENE_VARIABLES})


def _read(posterior: Any, name: str, cut: slice) -> Any:
    """Draws of one variable; of a variable that the design leaves no columns for, an array without any."""
    if name in posterior:
        return posterior[name][:, :, cut]
    chains, draws, genes = posterior["alpha"].shape
    return np.empty((chains, draws, min(cut.stop, genes) - cut.start, 0), dtype=np.float32)
