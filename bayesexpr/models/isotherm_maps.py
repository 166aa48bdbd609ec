r"""What the standards of ``langmuir`` say of probes, arrays and unknown concentrations, for the sampler's coordinates.

The three logs of every probe are found by damped Gauss-Newton steps on transformed intensities, in turn with the
brightness of the arrays and the two errors. Their information is that of the tangent at the estimate, and with it the
estimate becomes :math:`J \hat\psi + g`, g the slope of their likelihood there: what the standards alone say,
also where they leave a direction open. None of this enters a density.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from bayesexpr.distributions import Float

_ROUNDS = 3  # of probes, then arrays, then errors
_STEPS = 30  # of Gauss-Newton
_GRID = 200  # log concentrations at which an unknown one is tried
_LEAST_ERROR = 0.02  # relative; perfect fits of a few standards are luck


@dataclass(frozen=True, eq=False)
class Maps:
    """Centres and information of the coordinates.

    Attributes
    ----------
    information
        [P, 3, 3] of the standards about log background, log amplitude and log half-saturation.
    pull
        [P, 3] information times what the standards say these are.
    brightness, brightness_information
        [A] log brightness with mean zero; information about that of an array, averaged over arrays.
    log_c, log_c_sd
        [U] mean and sd of the unknown log concentrations.
    """

    information: Float
    pull: Float
    brightness: Float
    brightness_information: float
    log_c: Float
    log_c_sd: Float


def without_data(P: int, A: int, log_c: tuple[float, float], U: int) -> Maps:
    """Return the maps when nothing was measured: `log_c` are the prior's mean and sd."""
    return Maps(np.zeros((P, 3, 3)), np.zeros((P, 3)), np.zeros(A), 0.0, np.full(U, log_c[0]), np.full(U, log_c[1]))


def from_standards(
    full: Mapping[str, Any],
    location: tuple[Float, Float],
    errors: tuple[float, float],
    log_c: tuple[float, float],
    array_sd: float,
) -> Maps:
    """Return the maps that the standards give.

    Parameters
    ----------
    full
        Completed data.
    location
        [3], [3]: means and sds of a probe's logs before any intensity was seen.
    errors
        Prior sds of the multiplicative and the additive error.
    log_c
        Prior mean and sd of an unknown log concentration.
    array_sd
        Usual sd of log brightness; 0 where arrays are alike.
    """
    P, A = (int(full[name].max()) + 1 for name in ("probe", "array"))
    U = int(full["unknown"].max()) + 1
    known = np.flatnonzero(full["unknown"] < 0)
    standards = {name: full[name][known] for name in ("intensity", "concentration", "probe", "array")}
    shape, brightness = np.tile(location[0], (P, 1)), np.zeros(A)
    error = np.array([max(0.3 * errors[0], _LEAST_ERROR), 0.5 * errors[1]])
    weight = np.zeros(A)
    for _ in range(_ROUNDS if len(known) else 0):
        shape = _fit_probes(standards, shape, brightness, error, location)
        if array_sd > 0:
            brightness, weight = _fit_arrays(standards, shape, brightness, error, array_sd)
        error = _fit_errors(standards, shape, brightness, error, errors)
    information, pull = np.zeros((P, 3, 3)), np.zeros((P, 3))
    if len(known):
        residual, tangent = _residuals(standards, shape, brightness, error)
        information, slope = _sums(standards["probe"], tangent, residual, P)
        # at the estimate the standards' own optimum is this far off, in units of information
        pull = np.einsum("pkl,pl->pk", information, shape) + slope
    mean, sd = _unknowns(full, shape, brightness, error, log_c, U)
    return Maps(information, pull, brightness, float(weight.mean()), mean, sd)


def isotherm(shape: Float, concentration: Float) -> tuple[Float, Float]:
    """Return intensities [n] without error for logs [n, 3], and their derivatives [n, 3] in these."""
    background, amplitude = np.exp(shape[:, 0]), np.exp(shape[:, 1])
    bound = concentration / (concentration + np.exp(shape[:, 2]))
    signal = amplitude * bound
    return background + signal, np.stack([background, signal, -signal * (1 - bound)], axis=1)


def _residuals(data: Mapping[str, Any], shape: Float, brightness: Float, error: Float) -> tuple[Float, Float]:
    """Return standardised residuals [n] of transformed intensities, and derivatives [n, 3] of the expectation."""
    ratio, bright = error[0] / error[1], np.exp(brightness[data["array"]])
    mean, tangent = isotherm(shape[data["probe"]], data["concentration"])
    mean, tangent = mean * bright, tangent * bright[:, None]
    gap = (np.arcsinh(data["intensity"] * ratio) - np.arcsinh(mean * ratio)) / error[0]
    return gap, tangent / np.hypot(error[1], mean * error[0])[:, None]


def _sums(probe: NDArray[np.int64], tangent: Float, residual: Float, P: int) -> tuple[Float, Float]:
    information, slope = np.zeros((P, 3, 3)), np.zeros((P, 3))
    np.add.at(information, probe, tangent[:, :, None] * tangent[:, None, :])
    np.add.at(slope, probe, tangent * residual[:, None])
    return information, slope


def _fit_probes(
    data: Mapping[str, Any], shape: Float, brightness: Float, error: Float, location: tuple[Float, Float]
) -> Float:
    """Return the logs [P, 3] of all probes at their penalised least squares; a step that makes one worse is damped."""
    P, penalty = len(shape), 1 / location[1] ** 2

    def badness(at: Float) -> Float:
        residual, _ = _residuals(data, at, brightness, error)
        own = np.bincount(data["probe"], residual**2, minlength=P)
        return np.asarray(own + ((at - location[0]) ** 2 * penalty).sum(axis=1))

    damping, now = np.ones(P), badness(shape)
    for _ in range(_STEPS):
        residual, tangent = _residuals(data, shape, brightness, error)
        information, slope = _sums(data["probe"], tangent, residual, P)
        curvature = information + np.diag(penalty)
        curvature += damping[:, None, None] * curvature * np.eye(3)
        step = np.linalg.solve(curvature, (slope - (shape - location[0]) * penalty)[:, :, None])[:, :, 0]
        tried = shape + np.clip(step, -1.0, 1.0)
        then = badness(tried)
        better = then < now
        shape, now = np.where(better[:, None], tried, shape), np.where(better, then, now)
        damping = np.where(better, damping / 5, damping * 5)
    return shape


def _fit_arrays(
    data: Mapping[str, Any], shape: Float, brightness: Float, error: Float, array_sd: float
) -> tuple[Float, Float]:
    """Return log brightness [A], one step on, with mean zero, and the information [A] about it."""
    residual, tangent = _residuals(data, shape, brightness, error)
    slope = tangent[:, :2].sum(axis=1)  # log brightness moves background and amplitude alike
    weight = np.bincount(data["array"], slope**2, minlength=len(brightness))
    moved = brightness * weight + np.bincount(data["array"], slope * residual, minlength=len(brightness))
    found = moved / (weight + 1 / array_sd**2)
    return np.asarray(found - found.mean()), np.asarray(weight, dtype=np.float64)


def _fit_errors(
    data: Mapping[str, Any], shape: Float, brightness: Float, error: Float, prior_sd: tuple[float, float]
) -> Float:
    """Return the two errors that make the residuals most probable, with their priors."""
    mean = isotherm(shape[data["probe"]], data["concentration"])[0] * np.exp(brightness[data["array"]])

    def badness(logs: Float) -> float:
        relative, additive = np.exp(logs)
        ratio, x = relative / additive, data["intensity"]
        gap = (np.arcsinh(x * ratio) - np.arcsinh(mean * ratio)) / relative
        own = gap**2 / 2 + np.log(np.hypot(additive, x * relative))
        return float(own.sum() + ((np.exp(logs) / prior_sd) ** 2 / 2 - logs).sum())

    found = optimize.minimize(badness, np.log(error), method="Nelder-Mead", options={"maxiter": 200})
    return np.asarray(np.maximum(np.exp(found.x), _LEAST_ERROR * np.array([1.0, prior_sd[1]])))


def _unknowns(
    full: Mapping[str, Any], shape: Float, brightness: Float, error: Float, prior: tuple[float, float], U: int
) -> tuple[Float, Float]:
    """Return mean and sd [U] of the unknown log concentrations with everything else at its estimate."""
    measured = np.flatnonzero(full["unknown"] >= 0)
    grid = np.linspace(prior[0] - 4 * prior[1], prior[0] + 4 * prior[1], _GRID)
    log_mass = np.tile(-(((grid - prior[0]) / prior[1]) ** 2) / 2, (U, 1))
    for k, value in enumerate(grid):
        at = {name: full[name][measured] for name in ("intensity", "probe", "array")}
        residual, _ = _residuals(
            {**at, "concentration": np.full(len(measured), np.exp(value))}, shape, brightness, error
        )
        log_mass[:, k] -= np.bincount(full["unknown"][measured], residual**2, minlength=U) / 2
    mass = special.softmax(log_mass, axis=1)
    mean = mass @ grid
    spacing = grid[1] - grid[0]
    return mean, np.sqrt((mass * (grid - mean[:, None]) ** 2).sum(axis=1) + spacing**2 / 12)
