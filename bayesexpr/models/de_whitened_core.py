"""The density of ``negative_binomial_de`` in whitened coordinates, and Markov moves of its genes, by the compiled core.

The density is the Stan program's: :class:`bayesexpr.models.de_core.GeneCore` calls the code that the program calls.
Genes are cut into parts that do not depend on the number of threads, and sums over genes are added part by part in
their order, so that the result is the same to the last bit whatever that number.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
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
    threads
        Threads that share the genes, the caller's included.
    """

    def __init__(
        self, core: GeneCore, center: ArrayLike, scale: ArrayLike, slope: ArrayLike, *, threads: int = 1
    ) -> None:
        self.core = core
        shape = (core.G, core.P)
        self._center, self._scale = shaped(center, shape, "center", "F"), shaped(scale, shape, "scale", "F")
        self._slopes = [np.asfortranarray(one, dtype=np.float64) for one in np.asarray(slope)]
        self._table = pointers(self._slopes)
        self._drivers = self._slopes[0].shape[1]
        threads = min(threads, core.parts)
        edges = [core.parts * k // threads for k in range(threads + 1)]
        self._shares = list(pairwise(edges))
        self._others = ThreadPoolExecutor(threads - 1) if threads > 1 else None

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
        map_record = self._map(drivers)
        place, given = ctypes.byref(map_record), ctypes.byref(record)
        sums = np.empty((core.parts, core.library.bx_nbde_sums(core.handle, place)))

        def evaluate(first: int, last: int) -> None:
            core.library.bx_nbde_genes_of_parts(
                core.handle, place, at.ctypes.data, given, 0, first, last, d_z.ctypes.data, sums.ctypes.data
            )

        self._share(evaluate)
        value = core.library.bx_nbde_total(
            core.handle, place, given, sums.ctypes.data, d_shift.ctypes.data, ctypes.byref(back)
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
        map_record, random = self._map(drivers), NoiseRecord(*(part.ctypes.data for part in parts))

        def walk(first: int, last: int) -> None:
            core.library.bx_nbde_gene_moves(
                core.handle,
                ctypes.byref(map_record),
                ctypes.byref(record),
                leaps,
                ctypes.byref(random),
                first,
                last,
                z.ctypes.data,
                acceptance.ctypes.data,
            )

        self._share(walk)
        del kept
        return acceptance[0], acceptance[1]

    def _share(self, work: Callable[[int, int], None]) -> None:
        """Have every thread work on its parts of the genes, given as the first and the one after the last."""
        own, *rest = self._shares
        waiting = [self._others.submit(work, *share) for share in rest] if self._others is not None else []
        work(*own)
        for one in waiting:
            one.result()

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
