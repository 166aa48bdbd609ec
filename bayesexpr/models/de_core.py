"""The compiled core of ``negative_binomial_de`` for NumPy: densities, gradients and curvatures of all genes at once.

The core is the C++ that the Stan program's kernel calls (``stan_models/kernels/negative_binomial_de_core.hpp``), built
as a shared library, so that what is approximated or averaged in Python is the density that Stan samples.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]
_Double, _Int, _Pointer = ctypes.c_double, ctypes.c_int64, ctypes.c_void_p
_SCALARS = ("mu_alpha", "sigma_alpha", "log_a0", "log_a1", "sigma_phi", "s")
_VECTORS = ("m", "log_weight", "tau", "log_f")


class _Sizes(ctypes.Structure):
    _fields_ = [(name, _Int) for name in ("genes", "samples", "tested", "nuisance", "components")]


class _Hyper(ctypes.Structure):
    _fields_ = [("nu", _Double), *((n, _Double) for n in _SCALARS), *((n, _Pointer) for n in _VECTORS)]


class _HyperGradient(ctypes.Structure):
    _fields_ = [*((n, _Double) for n in _SCALARS), *((n, _Pointer) for n in _VECTORS)]


class _Map(ctypes.Structure):
    _fields_ = [("drivers", _Int), *((n, _Pointer) for n in ("center", "scale", "slope", "shift"))]


class GeneCore:
    """Counts and designs laid out for the core.

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
    """

    def __init__(
        self,
        library: Path,
        count: ArrayLike,
        component_design: ArrayLike,
        nuisance_design: ArrayLike,
        log_length: ArrayLike | None = None,
    ) -> None:
        self._library = _open(library)
        y = np.ascontiguousarray(count, dtype=np.int32)
        designs = [np.asfortranarray(d, dtype=np.float64) for d in np.asarray(component_design, dtype=np.float64)]
        self.S, self.G = y.shape
        self.C, self.K = len(designs), designs[0].shape[1]
        nuisance = np.asfortranarray(nuisance_design, dtype=np.float64).reshape(self.S, -1, order="F")
        self.R = nuisance.shape[1]
        self.P = 2 + self.K + self.R
        length = None if log_length is None else _shaped(log_length, (self.S, self.G), "log_length")
        handle = self._library.bx_nbde_prepare(
            ctypes.byref(_Sizes(self.G, self.S, self.K, self.R, self.C)),
            _pointers(list(y)),
            None if length is None else length.ctypes.data,
            self.G,
            1,
            _pointers(designs),
            nuisance.ctypes.data,
        )
        if not handle:
            raise MemoryError(f"no memory for {self.G} genes x {self.S} samples")
        self._handle: int = handle
        weakref.finalize(self, self._library.bx_nbde_release, handle)

    def gene_terms(self, psi: ArrayLike, hyper: Mapping[str, Any]) -> tuple[Float, Float, Float]:
        """Log density of each gene, its gradient, and a positive definite curvature, for Newton's method.

        Parameters
        ----------
        psi
            [G, P] coordinates alpha, e, d[K], u[R].
        hyper
            nu (0: normal slab), mu_alpha, sigma_alpha, log_a0, log_a1, sigma_phi, s, m [K], log_weight [C], tau [R]
            (one per column), log_f [S].

        Returns
        -------
        tuple
            [G], [G, P] and [G, P, P]. The curvature is the prior's, plus the expected information of the linear
            predictor, plus the observed information of log phi where that is positive.
        """
        at = _shaped(psi, (self.G, self.P), "psi", "F")
        record, kept = self._hyper(hyper)
        value, gradient = np.empty(self.G), np.empty((self.P, self.G))
        precision = np.empty((self.P, self.P, self.G))
        self._library.bx_nbde_gene_terms(
            self._handle,
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
            _shaped(alpha, (draws, self.G), "alpha"),
            _shaped(log_phi, (draws, self.G), "log_phi"),
            _shaped(effect, (draws, self.G, self.K), "effect"),
            _shaped(nuisance, (draws, self.G, self.R), "nuisance"),
            _shaped(log_f, (draws, self.S), "log_f"),
        ]
        result = np.empty((draws, self.G, self.C))
        self._library.bx_nbde_component_log_lik(
            self._handle, draws, *(array.ctypes.data for array in arrays), result.ctypes.data
        )
        return result

    def density(
        self, z: ArrayLike, shift: ArrayLike, whitening: Mapping[str, ArrayLike], hyper: Mapping[str, Any]
    ) -> tuple[float, Float, Float, dict[str, Any]]:
        """Log density of all genes and its gradient, as the Stan program's kernel has it.

        Parameters
        ----------
        z
            [G, P] whitened coordinates.
        shift
            [P, J] drivers.
        whitening
            center, scale [G, P], slope [P, G, J].
        hyper
            As for :meth:`gene_terms`.

        Returns
        -------
        tuple
            The value, and its derivatives with respect to z, shift and each of the hyperparameters.
        """
        at = _shaped(z, (self.G, self.P), "z", "F")
        drivers = np.asfortranarray(shift, dtype=np.float64)
        center, scale = (_shaped(whitening[n], at.shape, n, "F") for n in ("center", "scale"))
        slopes = [np.asfortranarray(one, dtype=np.float64) for one in np.asarray(whitening["slope"])]
        table = _pointers(slopes)
        here = _Map(
            drivers.shape[1],
            center.ctypes.data,
            scale.ctypes.data,
            ctypes.cast(table, _Pointer),
            drivers.ctypes.data,
        )
        record, kept = self._hyper(hyper)
        out = {
            "m": np.empty(self.K),
            "log_weight": np.empty(self.C),
            "tau": np.empty(self.R),
            "log_f": np.empty(self.S),
        }
        back = _HyperGradient(**{name: array.ctypes.data for name, array in out.items()})
        d_z, d_shift = np.empty_like(at, order="F"), np.empty_like(drivers, order="F")
        value = self._library.bx_nbde_genes(
            self._handle,
            ctypes.byref(here),
            at.ctypes.data,
            ctypes.byref(record),
            0,
            d_z.ctypes.data,
            d_shift.ctypes.data,
            ctypes.byref(back),
        )
        del kept
        return float(value), d_z, d_shift, {name: getattr(back, name) for name in _SCALARS} | out

    def _hyper(self, hyper: Mapping[str, Any]) -> tuple[_Hyper, list[Float]]:
        """Return the record of hyperparameters, and the arrays that it points into."""
        sizes = {"m": self.K, "log_weight": self.C, "tau": self.R, "log_f": self.S}
        vectors = [_shaped(hyper[name], (size,), name) for name, size in sizes.items()]
        scalars = [float(hyper[name]) for name in ("nu", *_SCALARS)]
        return _Hyper(*scalars, *(vector.ctypes.data for vector in vectors)), vectors


def _shaped(value: ArrayLike, shape: tuple[int, ...], name: str, order: Literal["C", "F"] = "C") -> Float:
    array = np.asarray(value, dtype=np.float64, order=order)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {shape} here, not {array.shape}")
    return array


def _pointers(arrays: list[NDArray[Any]]) -> ctypes.Array[ctypes.c_void_p]:
    return (_Pointer * len(arrays))(*(array.ctypes.data for array in arrays))


def _open(library: Path) -> ctypes.CDLL:
    opened = ctypes.CDLL(str(library))
    opened.bx_nbde_prepare.restype = _Pointer
    opened.bx_nbde_prepare.argtypes = [_Pointer, _Pointer, _Pointer, _Int, _Int, _Pointer, _Pointer]
    opened.bx_nbde_release.restype = None
    opened.bx_nbde_release.argtypes = [_Pointer]
    opened.bx_nbde_genes.restype = _Double
    opened.bx_nbde_genes.argtypes = [*[_Pointer] * 4, ctypes.c_int, *[_Pointer] * 3]
    opened.bx_nbde_gene_terms.restype = None
    opened.bx_nbde_gene_terms.argtypes = [_Pointer] * 6
    opened.bx_nbde_component_log_lik.restype = None
    opened.bx_nbde_component_log_lik.argtypes = [_Pointer, _Int, *[_Pointer] * 6]
    return opened
