"""The compiled core of ``negative_binomial_de`` at many draws of each gene, each draw with its own hyperparameters.

What :class:`bayesexpr.models.de_core.GeneCore` does for all genes at one draw, this does for all draws of a gene. The
C++ is ``stan_models/kernels/negative_binomial_de_draws.hpp`` and ``student_mixture.hpp``, in the library that only
Python loads. Arrays are [gene, ..., draw], draws fastest.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bayesexpr.models.de_core import GeneCore, open_library, shaped

Float = NDArray[np.float64]


def evaluate_draws(core: GeneCore, nu: float, rows: Float, psi: Float) -> tuple[Float, Float, Float, Float, Float]:
    """Evaluate every gene at its draws.

    Parameters
    ----------
    nu
        Degrees of freedom of the slab; 0 for a normal one.
    rows
        [row, D] hyperparameters of each draw: mu_alpha, 1 / sigma_alpha, log sigma_alpha, a0, a1, sigma_phi, s, m [K],
        log_weight [C], tau [R] (one per column), log_f [S], exp(log_f) [S]; a dispersion that all genes share is a0,
        with a1 and sigma_phi zero.
    psi
        [G, P, D] coordinates alpha, e (with a trend), d[K], u[R].

    Returns
    -------
    log_density, log_phi, effect, nuisance, probability
        [G, D] log of prior times likelihood, the component summed out; [G, D]; [G, K, D]; [G, R, D]; [G, C, D]
        probability of every component given all else.
    """
    draws = psi.shape[2]
    at = shaped(psi, (core.G, core.P, draws), "psi")
    out = tuple(np.empty((core.G, *tail, draws)) for tail in ((), (), (core.K,), (core.R,), (core.C,)))
    core.library.bx_nbde_draws(
        core.handle, draws, nu, _rows(core, rows, draws).ctypes.data, at.ctypes.data, *(a.ctypes.data for a in out)
    )
    log_density, log_phi, effect, nuisance, probability = out
    return log_density, log_phi, effect, nuisance, probability


def mean_residuals(core: GeneCore, rows: Float, psi: Float, log_phi: Float, probability: Float, weight: Float) -> Float:
    """Weighted mean [G, S] of the derivative of the log likelihood in each log size factor.

    Parameters
    ----------
    rows, psi, log_phi, probability
        As for, and from, :func:`evaluate_draws`.
    weight
        [G, D].
    """
    draws = psi.shape[2]
    arrays = [
        shaped(psi, (core.G, core.P, draws), "psi"),
        shaped(log_phi, (core.G, draws), "log_phi"),
        shaped(probability, (core.G, core.C, draws), "probability"),
        shaped(weight, (core.G, draws), "weight"),
    ]
    result = np.empty((core.G, core.S))
    core.library.bx_nbde_residuals(
        core.handle,
        draws,
        _rows(core, rows, draws).ctypes.data,
        *(array.ctypes.data for array in arrays),
        result.ctypes.data,
    )
    return result


def draw_mixture(
    library: Path,
    key: NDArray[np.uint64],
    draws: int,
    parts: tuple[Float, Float, Float, Float],
    heavy: slice,
    freedom: tuple[int, int],
    constant: float,
) -> tuple[Float, Float]:
    """Draw from a mixture of Student-t distributions for each gene.

    Parameters
    ----------
    key
        [G] starts of the genes' random numbers.
    parts
        center [M, G, P], root and its inverse [M, G, P, P], lower triangular, and share [G, M].
    heavy, freedom
        Coordinates with the first number of degrees of freedom, the others having the second; both even.
    constant
        Logarithm of what all densities share.

    Returns
    -------
    psi, log_density
        [G, P, D] and [G, D].
    """
    modes, genes, coordinates = parts[0].shape
    arrays = [
        shaped(parts[0], (modes, genes, coordinates), "center"),
        shaped(parts[1], (modes, genes, coordinates, coordinates), "root"),
        shaped(parts[2], (modes, genes, coordinates, coordinates), "back"),
        shaped(parts[3], (genes, modes), "share"),
    ]
    keys = np.ascontiguousarray(key, dtype=np.uint64)
    psi, log_density = np.empty((genes, coordinates, draws)), np.empty((genes, draws))
    open_library(library).bx_student_mixture(
        genes,
        coordinates,
        modes,
        draws,
        heavy.start,
        heavy.stop - heavy.start,
        *freedom,
        constant,
        keys.ctypes.data,
        *(array.ctypes.data for array in arrays),
        psi.ctypes.data,
        log_density.ctypes.data,
    )
    return psi, log_density


def _rows(core: GeneCore, rows: Float, draws: int) -> Float:
    return shaped(rows, (7 + core.K + core.C + core.R + 2 * core.S, draws), "rows")
