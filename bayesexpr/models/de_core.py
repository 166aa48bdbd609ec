"""The compiled core of ``negative_binomial_de`` for NumPy: densities, gradients and curvatures of all genes at once.

The core is the C++ that the Stan program's kernel calls (``stan_models/kernels/negative_binomial_de_core.hpp``), built
as a shared library, so that what is approximated or averaged in Python is the density that Stan samples.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]
Double, Int, Pointer = ctypes.c_double, ctypes.c_int64, ctypes.c_void_p
SCALARS = ("mu_alpha", "sigma_alpha", "log_a0", "log_a1", "sigma_phi", "s")
_VECTORS = ("m", "log_weight", "tau", "log_f")
PART = 512
"""Genes of a part, on which one thread works at a time: ``BX_NBDE_PART``."""


class _Sizes(ctypes.Structure):
    _fields_ = [(name, Int) for name in ("genes", "samples", "tested", "nuisance", "components", "deviates")]


class HyperRecord(ctypes.Structure):
    """``bx_nbde_hyper``."""

    _fields_ = [("nu", Double), *((n, Double) for n in SCALARS), *((n, Pointer) for n in _VECTORS)]


class HyperGradient(ctypes.Structure):
    """``bx_nbde_hyper_gradient``."""

    _fields_ = [*((n, Double) for n in SCALARS), *((n, Pointer) for n in _VECTORS)]


class NoiseRecord(ctypes.Structure):
    """``bx_nbde_noise``."""

    _fields_ = [(name, Pointer) for name in ("step", "momentum", "log_uniform", "effect")]


class MapRecord(ctypes.Structure):
    """``bx_nbde_map``."""

    _fields_ = [("drivers", Int), *((n, Pointer) for n in ("center", "scale", "slope", "shift"))]


class GeneCore:
    """Counts and designs laid out for the core; constant once made, so that threads may share one.

    Parameters
    ----------
    library
        The shared library, built by :func:`bayesexpr.stan.kernels.shared_library`.
    count
        [S, G] counts.
    component_design
        [C, S, K] design of the tested term in each component.
    nuisance_design
        [S, R] design of all other terms.
    log_length
        [S, G] log effective lengths; None for none.
    trend
        Whether dispersions scatter around a trend; else all genes share one, and have no coordinate e.
    """

    def __init__(
        self,
        library: Path,
        count: ArrayLike,
        component_design: ArrayLike,
        nuisance_design: ArrayLike,
        log_length: ArrayLike | None = None,
        *,
        trend: bool = True,
    ) -> None:
        self.library = open_library(library)
        y = np.ascontiguousarray(count, dtype=np.int32)
        designs = [np.asfortranarray(d, dtype=np.float64) for d in np.asarray(component_design, dtype=np.float64)]
        self.S, self.G = y.shape
        self.C, self.K = len(designs), designs[0].shape[1]
        nuisance = np.asfortranarray(nuisance_design, dtype=np.float64).reshape(self.S, -1, order="F")
        self.R = nuisance.shape[1]
        self.P = 1 + int(trend) + self.K + self.R
        length = None if log_length is None else shaped(log_length, (self.S, self.G), "log_length")
        handle = self.library.bx_nbde_prepare(
            ctypes.byref(_Sizes(self.G, self.S, self.K, self.R, self.C, int(trend))),
            pointers(list(y)),
            None if length is None else length.ctypes.data,
            self.G,
            1,
            pointers(designs),
            nuisance.ctypes.data,
        )
        if not handle:
            raise MemoryError(f"no memory for {self.G} genes x {self.S} samples")
        self.handle: int = handle
        self.parts = int(self.library.bx_nbde_parts(handle))
        weakref.finalize(self, self.library.bx_nbde_release, handle)

    def gene_slopes(self, psi: ArrayLike, hyper: Mapping[str, Any]) -> tuple[Float, Float]:
        """Log density [G] of each gene and its gradient [G, P]; see :meth:`gene_terms`, which takes twice as long."""
        at = shaped(psi, (self.G, self.P), "psi", "F")
        record, kept = self.hyper_record(hyper)
        value, gradient = np.empty(self.G), np.empty((self.P, self.G))
        self.library.bx_nbde_gene_terms(
            self.handle, at.ctypes.data, ctypes.byref(record), value.ctypes.data, gradient.ctypes.data, None
        )
        del kept
        return value, np.ascontiguousarray(gradient.T)

    def gene_terms(self, psi: ArrayLike, hyper: Mapping[str, Any]) -> tuple[Float, Float, Float]:
        """Log density of each gene, its gradient, and a positive definite curvature, for Newton's method.

        Parameters
        ----------
        psi
            [G, P] coordinates alpha, e (with a trend), d[K], u[R].
        hyper
            nu (0: normal slab), mu_alpha, sigma_alpha, log_a0, log_a1, sigma_phi, s, m [K], log_weight [C], tau [R]
            (one per column), log_f [S]; see :func:`dispersion_for_core`.

        Returns
        -------
        tuple
            [G], [G, P] and [G, P, P]. The curvature is the prior's, plus the expected information of the linear
            predictor, plus the observed information of log phi where that is positive.
        """
        at = shaped(psi, (self.G, self.P), "psi", "F")
        record, kept = self.hyper_record(hyper)
        value, gradient = np.empty(self.G), np.empty((self.P, self.G))
        precision = np.empty((self.P, self.P, self.G))
        self.library.bx_nbde_gene_terms(
            self.handle,
            at.ctypes.data,
            ctypes.byref(record),
            value.ctypes.data,
            gradient.ctypes.data,
            precision.ctypes.data,
        )
        del kept
        return value, np.ascontiguousarray(gradient.T), np.ascontiguousarray(precision.transpose(2, 0, 1))

    def component_log_lik(
        self, alpha: ArrayLike, log_phi: ArrayLike, effect: ArrayLike, nuisance: ArrayLike, log_f: ArrayLike
    ) -> Float:
        """Log-likelihood of each gene in every component, summed over samples, for each draw.

        Parameters
        ----------
        alpha, log_phi
            [D, G] log means and log precisions.
        effect
            [D, G, K] effect of the tested term, natural log.
        nuisance
            [D, G, R] effects of all other columns (tau times u).
        log_f
            [D, S] log size factors.

        Returns
        -------
        array
            [D, G, C].
        """
        a = np.asarray(alpha)
        draws = len(a)
        arrays = [
            shaped(alpha, (draws, self.G), "alpha"),
            shaped(log_phi, (draws, self.G), "log_phi"),
            shaped(effect, (draws, self.G, self.K), "effect"),
            shaped(nuisance, (draws, self.G, self.R), "nuisance"),
            shaped(log_f, (draws, self.S), "log_f"),
        ]
        result = np.empty((draws, self.G, self.C))
        self.library.bx_nbde_component_log_lik(
            self.handle, draws, *(array.ctypes.data for array in arrays), result.ctypes.data
        )
        return result

    def hyper_record(self, hyper: Mapping[str, Any]) -> tuple[HyperRecord, list[Float]]:
        """Return the record of hyperparameters, and the arrays that it points into."""
        sizes = {"m": self.K, "log_weight": self.C, "tau": self.R, "log_f": self.S}
        vectors = [shaped(hyper[name], (size,), name) for name, size in sizes.items()]
        scalars = [float(hyper[name]) for name in ("nu", *SCALARS)]
        return HyperRecord(*scalars, *(vector.ctypes.data for vector in vectors)), vectors


def dispersion_for_core(hyper: Mapping[str, Any], trend: bool) -> dict[str, Any]:
    """Return what the core takes for the dispersions; one that all genes share is a trend that is flat.

    Parameters
    ----------
    hyper
        As :meth:`bayesexpr.models.de_layout.Layout.hyper` returns them.
    """
    if not trend:
        return {"log_a0": np.log(hyper["dispersion"]), "log_a1": -np.inf, "sigma_phi": 0.0}
    return {"log_a0": np.log(hyper["a0"]), "log_a1": np.log(hyper["a1"]), "sigma_phi": hyper["sigma_phi"]}


def shaped(value: ArrayLike, shape: tuple[int, ...], name: str, order: Literal["C", "F"] = "C") -> Float:
    """Return an array of doubles of this shape and order, without a copy where it is one already."""
    array = np.asarray(value, dtype=np.float64, order=order)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {shape} here, not {array.shape}")
    return array


def pointers(arrays: list[NDArray[Any]]) -> ctypes.Array[ctypes.c_void_p]:
    """Return a C array of the arrays' addresses; whoever uses it keeps the arrays."""
    return (Pointer * len(arrays))(*(array.ctypes.data for array in arrays))


@cache
def open_library(library: Path) -> ctypes.CDLL:
    """Load the compiled core, and say what its functions take."""
    opened = ctypes.CDLL(str(library))
    opened.bx_nbde_prepare.restype = Pointer
    opened.bx_nbde_prepare.argtypes = [Pointer, Pointer, Pointer, Int, Int, Pointer, Pointer]
    opened.bx_nbde_release.restype = None
    opened.bx_nbde_release.argtypes = [Pointer]
    opened.bx_nbde_parts.restype = Int
    opened.bx_nbde_parts.argtypes = [Pointer]
    opened.bx_nbde_sums.restype = Int
    opened.bx_nbde_sums.argtypes = [Pointer] * 2
    opened.bx_nbde_genes_of_parts.restype = None
    opened.bx_nbde_genes_of_parts.argtypes = [*[Pointer] * 4, ctypes.c_int, Int, Int, *[Pointer] * 2]
    opened.bx_nbde_total.restype = Double
    opened.bx_nbde_total.argtypes = [Pointer] * 6
    opened.bx_nbde_genes.restype = Double
    opened.bx_nbde_genes.argtypes = [*[Pointer] * 4, ctypes.c_int, *[Pointer] * 3]
    opened.bx_nbde_gene_terms.restype = None
    opened.bx_nbde_gene_terms.argtypes = [Pointer] * 6
    opened.bx_nbde_gene_moves.restype = None
    opened.bx_nbde_gene_moves.argtypes = [*[Pointer] * 3, Int, Pointer, Int, Int, *[Pointer] * 2]
    opened.bx_nbde_component_log_lik.restype = None
    opened.bx_nbde_component_log_lik.argtypes = [Pointer, Int, *[Pointer] * 6]
    opened.bx_nbde_draws.restype = None
    opened.bx_nbde_draws.argtypes = [Pointer, Int, Double, *[Pointer] * 7]
    opened.bx_nbde_residuals.restype = None
    opened.bx_nbde_residuals.argtypes = [Pointer, Int, *[Pointer] * 6]
    opened.bx_student_mixture.restype = None
    opened.bx_student_mixture.argtypes = [*[Int] * 8, Double, *[Pointer] * 7]
    return opened
