"""Test quantities: what is ranked.

Ranks of parameters alone are blind to half of all errors: a likelihood that is missing leaves them uniform. The joint
log likelihood, the likelihood of each sample and products of parameters with the direction of the data are not
(Modrák, Moon, Kim, Bürkner, Huurre, Faltejsková, Gelman and Vehtari 2023, Bayesian Analysis), and sums over genes
find with 20 simulations what single genes show with 1000. One function measures the truth and the draws, so that both
sides of a rank are the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bayesexpr.models.base import Model

from .ranks import Floats

_ROUNDING = 1e-6  # relative: draws come in single precision


@dataclass(frozen=True)
class Quantity:
    """One test quantity of one fit.

    Attributes
    ----------
    values
        [draw].
    uses_data
        Whether it is a function of the data as well as of the parameters.
    """

    name: str
    values: Floats
    uses_data: bool = False


class Measure(Protocol):
    """Turns parameters [draw, ...] and data into test quantities; what it returns depends on neither's values."""

    def __call__(self, draws: Mapping[str, Any], data: Mapping[str, Any]) -> list[Quantity]:
        """Measure every draw."""


@dataclass(frozen=True)
class ModelQuantities:
    """The default test quantities of a program.

    Parameters, at most `most` elements of each, with the sum and the sum of squares of those that have more than one
    element; the joint log likelihood, the log likelihood of each row of the outcome (a sample), the log prior of the
    hyperparameters; and, for a program with effects and a design, the sum over genes of each effect times the sign of
    the data's own difference.

    Attributes
    ----------
    leave_out
        Names of parameters, or ``log_prior``, not to be ranked.
    """

    model: Model
    most: int = 8
    leave_out: tuple[str, ...] = ()

    def __call__(self, draws: Mapping[str, Any], data: Mapping[str, Any]) -> list[Quantity]:
        """Measure every draw."""
        found = []
        for name in self.model.PARAMETERS:
            if name in draws and name not in self.leave_out:
                found += elements(name, np.asarray(draws[name], dtype=np.float64), self.most)
        lik = log_lik_of_draws(self.model, draws, data)
        total = lik.reshape(len(lik), -1).sum(axis=1)
        found.append(Quantity("log_lik", total, True))
        if lik.ndim > 1 and lik.shape[1] > 1:
            rows = lik.reshape(*lik.shape[:2], -1).sum(axis=2)
            found += [Quantity(f"log_lik[{i}]", rows[:, i], True) for i in range(min(self.most, rows.shape[1]))]
        if "log_prior" not in self.leave_out:
            found += log_prior(self.model, draws)
        if "beta" in draws and "beta" not in self.leave_out:
            found += effects_along_data(np.asarray(draws["beta"], dtype=np.float64), data, self.model.OUTCOME)
        return found


def elements(name: str, values: Floats, most: int) -> list[Quantity]:
    """Single elements of one parameter [draw, ...], their sum and their sum of squares."""
    if values.ndim == 1:
        return [Quantity(name, values)]
    flat = values.reshape(len(values), -1)
    places = list(np.ndindex(values.shape[1:]))
    found = [Quantity(f"{name}[{','.join(map(str, at))}]", flat[:, k]) for k, at in enumerate(places[:most])]
    if flat.shape[1] > 1:
        total = flat.sum(axis=1)
        # Of elements that sum to zero by construction the sum is rounding error, which is not to be ranked.
        total[np.abs(total) <= _ROUNDING * np.abs(flat).sum(axis=1)] = 0.0
        found += [Quantity(f"sum({name})", total), Quantity(f"sum({name}^2)", (flat**2).sum(axis=1))]
    return found


def log_prior(model: Model, draws: Mapping[str, Any]) -> list[Quantity]:
    """Log prior of all parameters that have a prior of their own name; none if that is a single number's.

    The prior of a single number follows its value, which is ranked itself.
    """
    terms, size = [], 0
    for name in model.PRIORS:
        if name in draws:
            values = np.asarray(draws[name], dtype=np.float64)
            try:
                density = model.prior(name).logpdf(values)
            except NotImplementedError:  # a distribution over vectors
                continue
            terms.append(density.reshape(len(values), -1).sum(axis=1))
            size += values[0].size
    return [Quantity("log_prior", np.sum(terms, axis=0))] if size > 1 else []


def effects_along_data(beta: Floats, data: Mapping[str, Any], outcome: str = "count") -> list[Quantity]:
    """Sum over genes of effects [draw, gene, column] times the sign of the data's difference along the column.

    The data's difference is the covariance of the column with log(count + 1), for each gene.
    """
    if "design" not in data or outcome not in data:
        return []
    design, count = np.asarray(data["design"], dtype=np.float64), np.asarray(data[outcome], dtype=np.float64)
    if count.ndim != 2 or design.ndim != 2 or beta.shape[1:] != (count.shape[1], design.shape[1]):
        return []
    values = np.log1p(count) if (count >= 0).all() else count
    direction = np.sign((design - design.mean(axis=0)).T @ (values - values.mean(axis=0))).T
    along = np.einsum("dgk,gk->dk", beta, direction)
    return [Quantity(f"sum(beta[{k}] sign(data))", along[:, k], True) for k in range(along.shape[1])]


def each_draw(draws: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One dictionary of parameters for each draw."""
    n = len(next(iter(draws.values())))
    return [{name: values[i] for name, values in draws.items()} for i in range(n)]


def one_draw(parameters: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Give parameters a leading axis of one draw."""
    return {name: np.asarray(value)[None] for name, value in parameters.items()}


def log_lik_of_draws(model: Model, draws: Mapping[str, Any], data: Mapping[str, Any]) -> Floats:
    """Pointwise log likelihood [draw, ...].

    Many programs' formulas broadcast over a leading axis of draws. Whether one does is not assumed: the result must
    have the right shape and agree with single draws, or else draws are gone through one by one.
    """
    singles = each_draw(draws)
    first = np.asarray(model.log_lik(singles[0], data), dtype=np.float64)
    if len(singles) > 3:
        try:
            whole = np.asarray(model.log_lik(draws, data), dtype=np.float64)
        except (ValueError, IndexError, TypeError):
            whole = np.empty(0)
        if whole.shape == (len(singles), *first.shape):
            places = (0, len(singles) // 2, len(singles) - 1)
            checked = [np.asarray(model.log_lik(singles[i], data)) for i in places]
            if all(
                np.allclose(whole[i], c, rtol=1e-10, atol=0, equal_nan=True)
                for i, c in zip(places, checked, strict=True)
            ):
                return whole
    return np.stack([first, *(np.asarray(model.log_lik(p, data), dtype=np.float64) for p in singles[1:])])
