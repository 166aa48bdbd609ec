"""Random numbers of genes: each gene's from a stream of its own, the same in whatever company it is computed.

The numbers are SplitMix64's (Steele, Lea and Flood 2014, OOPSLA) at a counter, which the compiled core computes, too,
many at a time (``stan_models/kernels/student_mixture.hpp``); this is its twin in NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesexpr.distributions import Float

LIGHT = 8
"""Degrees of freedom of the coordinates that are not the tested effect's."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


@dataclass(frozen=True)
class Noise:
    """Random numbers of some genes.

    Attributes
    ----------
    normal
        [gene, P, draw].
    uniform
        [gene, draw], for the choice of a mode.
    heavy, light
        [gene, draw] factors that make normal deviates Student-t.
    """

    normal: Float
    uniform: Float
    heavy: Float
    light: Float


def stream_keys(seed: Sequence[int], genes: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Start a stream for each gene [gene], given by its place in the study."""
    first = np.random.SeedSequence(list(seed)).generate_state(1, np.uint64)
    return _mixed(first + _GOLDEN * (genes.astype(np.uint64) + np.uint64(1)))


def one_uniform(keys: NDArray[np.uint64]) -> Float:
    """Return the first number of each stream [gene], uniform on (0, 1)."""
    return _uniform(_mixed(keys + _GOLDEN))


def make_noise(keys: NDArray[np.uint64], coordinates: int, draws: int, nu: int) -> Noise:
    """Draw the numbers of the genes with these keys.

    Parameters
    ----------
    nu
        Degrees of freedom of the tested effect's coordinates, an even number.
    """
    pairs = (coordinates + 1) // 2
    each = 2 * pairs + 1 + nu // 2 + LIGHT // 2
    # number i of draw j is a function of the key and of j * each + i alone
    place: NDArray[np.uint64] = np.arange(each * draws, dtype=np.uint64).reshape(draws, each).T + np.uint64(1)
    bits = _mixed(keys[:, None, None] + _GOLDEN * place)
    uniform = _uniform(bits)
    radius = np.sqrt(-2 * np.log(uniform[:, 0 : 2 * pairs : 2]))
    angle = 2 * np.pi * uniform[:, 1 : 2 * pairs : 2]
    normal = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2).reshape(len(keys), 2 * pairs, draws)
    heavy, light = np.split(uniform[:, 2 * pairs + 1 :], [nu // 2], axis=1)
    return Noise(normal[:, :coordinates], uniform[:, 2 * pairs], _stretch(heavy), _stretch(light))


def _stretch(uniform: Float) -> Float:
    """Return sqrt((nu / 2) / gamma) for gamma deviates of shape nu / 2, made of so many uniform ones."""
    return np.asarray(np.sqrt(-uniform.shape[1] / np.log(uniform.prod(axis=1))))


def _uniform(bits: NDArray[np.uint64]) -> Float:
    return np.asarray(((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52)


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    for shift, factor in _MIX:
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(x ^ (x >> np.uint64(31)))
