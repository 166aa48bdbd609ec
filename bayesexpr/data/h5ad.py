"""AnnData files (``.h5ad``), through the optional anndata package."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CountsError
from .counts import CountData

if TYPE_CHECKING:
    import pandas as pd


def read_h5ad(path: Path, samples: pd.DataFrame | None = None, layer: str | None = None) -> CountData:
    """Read counts and sample table from an AnnData file.

    Parameters
    ----------
    path
        The file.
    samples
        Sample table to use instead of ``obs``.
    layer
        Layer that holds raw counts, if ``X`` does not.

    Raises
    ------
    CountsError
        anndata is not installed; the file is damaged, or takes data from other files; or the counts break a rule.
    """
    try:
        anndata: Any = import_module("anndata")
        h5py: Any = import_module("h5py")
    except ImportError:
        raise CountsError(
            f"reading {str(path)!r} needs the anndata package. Install it: pip install 'bayesexpr[h5ad]'."
        ) from None
    try:
        with h5py.File(path, "r") as file:
            outside = _taken_from_outside(file, h5py)
        if outside:
            raise CountsError(
                f"an AnnData file must hold its own data; {outside!r} of {str(path)!r} is in another file. Save it "
                "whole."
            )
        adata = anndata.read_h5ad(path)
    except CountsError:
        raise
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CountsError(f"{str(path)!r} must be an AnnData file; it is not or is damaged ({reason}).") from None
    return CountData.from_anndata(adata, layer, samples)


def _taken_from_outside(group: Any, h5py: Any) -> str:
    """Return the first name whose data HDF5 would fetch from another file, or nothing."""
    for name in group:
        place = f"{group.name.rstrip('/')}/{name}"
        if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
            return place
        item = group.get(name)
        if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
            return place
        # A soft link may lead back to a group above; what it leads to is visited there.
        is_own = isinstance(group.get(name, getlink=True), h5py.HardLink)
        if is_own and isinstance(item, h5py.Group) and (found := _taken_from_outside(item, h5py)):
            return found
    return ""
