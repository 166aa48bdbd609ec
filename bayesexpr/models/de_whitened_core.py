"""The density of ``negative_binomial_de`` in whitened coordinates, and Markov moves of its genes, by the compiled core.

The density is the Stan program's: :class:`bayesexpr.models.de_core.GeneCore` calls the code that the program calls.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesexpr.models.de_core import (
    SCALARS,
    GeneCore,
    HyperGradient,
    MapRecord,
    NoiseRecord,
    Pointer,
    pointers,
    shaped,
)

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """Random numbers of one move of the genes.

    Attributes
    ----------
    momentum
        [P, G] standard normal.
    log_uniform
        [2, G] logarithms of uniform numbers.
    effect
        [K, G] deviates d of the tested effect, drawn from their prior.
    """

    momentum: Float
    log_uniform: Float
    effect: Float


class WhitenedCore:
    """The core at one set of whitening maps.

    Parameters
    ----------
    core
        Counts and designs.
    center, scale
        [G, P].
    slope
        [P, G, J]; see :class:`bayesexpr.models.de_layout.Whitening`.
    """

    def __init__(self, core: GeneCore, center: ArrayLike, scale: ArrayLike, slope: ArrayLike) -> None:
        self.core = core
        shape = (core.G, core.P)
        self._center, self._scale = shaped(center, shape, "center", "F"), shaped(scale, shape, "scale", "F")
        self._slopes = [np.asfortranarray(one, dtype=np.float64) for one in np.asarray(slope)]
        self._table = pointers(self._slopes)
        self._drivers = self._slopes[0].shape[1]

    def density(
        self, z: Float, shift: ArrayLike, hyper: Mapping[str, Any]
    ) -> tuple[float, Float, Float, dict[str, Any]]:
        """Log density of all genes and its gradient, as the Stan program's kernel has it.

        Parameters
        ----------
        z
            [G, P] whitened coordinates; no copy is made of an array in Fortran's order.
        shift
            [P, J] drivers.
        hyper
            As for :meth:`GeneCore.gene_terms`.

        Returns
        -------
        tuple
            The value, and its derivatives with respect to z, shift and each of the hyperparameters.
        """
        core = self.core
        at = shaped(z, (core.G, core.P), "z", "F")
        drivers = np.asfortranarray(shift, dtype=np.float64)
        record, kept = core.hyper_record(hyper)
        sizes = {"m": core.K, "log_weight": core.C, "tau": core.R, "log_f": core.S}
        out = {name: np.empty(size) for name, size in sizes.items()}
        back = HyperGradient(**{name: array.ctypes.data for name, array in out.items()})
        d_z, d_shift = np.empty_like(at, order="F"), np.empty_like(drivers, order="F")
        value = core.library.bx_nbde_genes(
            core.handle,
            ctypes.byref(self._map(drivers)),
            at.ctypes.data,
            ctypes.byref(record),
            0,
            d_z.ctypes.data,
            d_shift.ctypes.data,
            ctypes.byref(back),
        )
        del kept
        return float(value), d_z, d_shift, {name: getattr(back, name) for name in SCALARS} | out

    def move(
        self, z: Float, shift: ArrayLike, hyper: Mapping[str, Any], step: Float, leaps: int, noise: Noise
    ) -> tuple[Float, Float]:
        """Move every gene by one Hamiltonian trajectory and one draw of its tested effect, at fixed hyperparameters.

        Parameters
        ----------
        z
            [G, P] whitened coordinates in Fortran's order; replaced.
        shift, hyper
            As for :meth:`density`.
        step
            [G] step sizes.
        leaps
            Leapfrog steps of the trajectory.

        Returns
        -------
        tuple
            [G] acceptance probability of the trajectories, and [G] 1 where the new effect was taken, else 0.
        """
        core = self.core
        if z.shape != (core.G, core.P) or not z.flags.f_contiguous or z.dtype != np.float64:
            raise ValueError(f"z is a [{core.G}, {core.P}] array of doubles in Fortran's order")
        drivers = np.asfortranarray(shift, dtype=np.float64)
        record, kept = core.hyper_record(hyper)
        parts = [
            shaped(step, (core.G,), "step"),
            shaped(noise.momentum, (core.P, core.G), "momentum"),
            shaped(noise.log_uniform, (2, core.G), "log_uniform"),
            shaped(noise.effect, (core.K, core.G), "effect"),
        ]
        acceptance = np.empty((2, core.G))
        core.library.bx_nbde_gene_moves(
            core.handle,
            ctypes.byref(self._map(drivers)),
            ctypes.byref(record),
            leaps,
            ctypes.byref(NoiseRecord(*(part.ctypes.data for part in parts))),
            z.ctypes.data,
            acceptance.ctypes.data,
        )
        del kept
        return acceptance[0], acceptance[1]

    def _map(self, drivers: Float) -> MapRecord:
        if drivers.shape != (self.core.P, self._drivers):
            raise ValueError(f"shift has shape {(self.core.P, self._drivers)} here, not {drivers.shape}")
        return MapRecord(
            self._drivers,
            self._center.ctypes.data,
            self._scale.ctypes.data,
            ctypes.cast(self._table, Pointer),
            drivers.ctypes.data,
        )
