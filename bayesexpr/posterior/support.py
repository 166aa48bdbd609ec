"""Whether draws lie where their priors allow any: what does not was changed after the sampler made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesexpr.errors import SamplingError
from bayesexpr.models.base import Model
from bayesexpr.models.priors import Dirichlet, LogNormal, Prior

_ROUNDING = 1e-4  # draws come in single precision, and sums of thousands of them are one within this


def check_support(model: Model, draws: Mapping[str, NDArray[Any]]) -> None:
    """Refuse draws outside the support of the prior of their own name.

    Stan writes no such value; a chain's file that was changed, or mended by hand, may hold one that is finite and in
    its place, so that no check of the file's form sees it.

    Parameters
    ----------
    draws
        Parameter to [chain, draw, ...], on its own scale.

    Raises
    ------
    SamplingError
        Naming the first such draw.
    """
    for name in model.PRIORS:
        if name not in draws:
            continue
        values = np.asarray(draws[name])
        outside = outside_support(model.prior(name), values)
        if outside.any():
            chain, draw, *place = np.argwhere(outside)[0].tolist()
            element = f"{name}[{','.join(map(str, place))}]" if place else name
            raise SamplingError(
                f"draw {draw + 1} of chain {chain + 1} of {element} is {values[(chain, draw, *place)]:g}, where its "
                f"prior {model.prior(name)} allows none: what the chain wrote was changed. Run the fit again."
            )


def outside_support(prior: Prior, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark values outside the closed support of a prior; of simplices [..., element] all elements of a bad one."""
    if isinstance(prior, Dirichlet):
        sound = np.abs(values.sum(axis=-1, keepdims=True) - 1.0) <= _ROUNDING
        return np.asarray((values < 0) | ~sound)
    low, high = prior.frozen().support()
    if isinstance(prior, LogNormal):
        high = min(high, prior.upper)
    return np.asarray((values < low) | (values > high * (1 + _ROUNDING)))
