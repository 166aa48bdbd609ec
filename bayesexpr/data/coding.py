"""How a column of the sample table enters the design: numeric scaling and the coding of levels.

Over the cells of a term (all combinations of the levels of its categorical columns, each with the same weight)
every function splits into mutually orthogonal parts W_U, one per subset U of the columns: what varies with the
columns of U and has mean zero along each. A term codes the parts that no smaller term of the model covers, so that
a design has full rank whenever every cell has a sample, with or without main effects beside an interaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..distributions import sum_to_zero_basis
from ..errors import DesignError
from .identifiers import listed

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Categorical:
    """A categorical column: its levels in order and the level of each sample ([S], 0-based)."""

    name: str
    levels: tuple[str, ...]
    codes: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Numeric:
    """A numeric column, coded as (x - centre) / scale with scale twice its (population) standard deviation.

    A balanced 0/1 column is then coded -1/2, +1/2, as a factor of two levels is.
    """

    name: str
    values: FloatArray
    centre: float
    scale: float

    @property
    def coded(self) -> FloatArray:
        """[S] centred and scaled values."""
        return (self.values - self.centre) / self.scale


@dataclass(frozen=True, eq=False)
class TermCoding:
    """A term of the design.

    Parameters
    ----------
    name
        Columns joined by ``:``.
    factors
        Its categorical columns.
    numerics
        Its numeric columns.
    cells
        [L1, ..., Lk, m] coefficients of the cells of the categorical columns; [m = 1] without any.
    column_names
        m names.
    """

    name: str
    factors: tuple[Categorical, ...]
    numerics: tuple[Numeric, ...]
    cells: FloatArray
    column_names: tuple[str, ...]

    @property
    def variables(self) -> frozenset[str]:
        """Names of its columns of the sample table."""
        return frozenset({factor.name for factor in self.factors} | {numeric.name for numeric in self.numerics})

    def columns(self, n_samples: int) -> FloatArray:
        """Return the [S, m] columns of the design matrix."""
        result = np.ones((n_samples, 1))
        if self.factors:
            result = self.cells[tuple(factor.codes for factor in self.factors)]
        for numeric in self.numerics:
            result = result * numeric.coded[:, None]
        return np.asarray(result, dtype=np.float64)


def level_coding(size: int) -> FloatArray:
    """Return the sum-to-zero basis over sqrt(2): any two rows are at distance 1; two levels are -1/2 and +1/2."""
    # Scaled inside the root: one half is then exact.
    basis = np.zeros((size, size - 1))
    for k in range(1, size):
        basis[:k, k - 1] = -1.0
        basis[k, k - 1] = k
        basis[:, k - 1] /= np.sqrt(2.0 * k * (k + 1.0))
    return basis


def read_column(table: pd.DataFrame, name: str, as_categorical: bool) -> Categorical | Numeric:
    """Return a column of the sample table as the formula uses it.

    Categories keep the order that pandas has for them; other values are sorted. Unused levels are dropped.

    Raises
    ------
    DesignError
        The column does not exist, has a missing or infinite value, or is constant.
    """
    if name not in table.columns:
        raise DesignError(
            f"a design formula must name columns of the sample table; {name!r} is not among "
            f"{listed([str(column) for column in table.columns], 20)}."
        )
    column = table[name]
    missing = column.isna().to_numpy()
    if missing.any():
        samples = table.index[missing].astype(str)
        raise DesignError(
            f"a column of the design must have a value for every sample; {name!r} has none for {listed(samples)}. "
            "Fill it in, or leave the sample out of both tables."
        )
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if numeric and not as_categorical:
        return _numeric(table, name)
    if isinstance(column.dtype, pd.CategoricalDtype):
        values = list(column.cat.remove_unused_categories().cat.categories)
    else:
        values = sorted(set(column), key=lambda value: (isinstance(value, str), value))
    labels = [_label(value) for value in values]
    position = {value: index for index, value in enumerate(values)}
    if len(set(labels)) < len(labels):
        raise DesignError(f"levels of {name!r} must have different names; they are {listed(labels)}.")
    if len(labels) < 2:
        raise DesignError(
            f"a column of the design must have at least two levels; {name!r} is {labels[0]!r} for every sample. "
            "Leave it out of the formula."
        )
    codes = np.array([position[value] for value in column], dtype=np.intp)
    return Categorical(name, tuple(labels), codes)


def _numeric(table: pd.DataFrame, name: str) -> Numeric:
    values = table[name].to_numpy(dtype=np.float64)
    infinite = ~np.isfinite(values)
    if infinite.any():
        samples = table.index[infinite].astype(str)
        raise DesignError(f"a numeric column of the design must be finite; {name!r} is not for {listed(samples)}.")
    centre = float(values.mean())
    scale = 2.0 * float(values.std())
    # A spread below the rounding error of the values is no spread.
    if scale <= 1e-12 * np.abs(values).max():
        raise DesignError(
            f"a numeric column of the design must vary; {name!r} is {centre:g} for every sample. Leave it out of "
            "the formula."
        )
    return Numeric(name, values, centre, scale)


def _label(value: object) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def code_terms(terms: Sequence[tuple[str, ...]], columns: dict[str, Categorical | Numeric]) -> tuple[TermCoding, ...]:
    """Code every term of a model that has an intercept.

    A single factor with L levels has L - 1 columns, its sum-to-zero basis over sqrt(2): the difference of any two
    levels is then a unit vector of coefficients, so that one prior serves every pair of levels. An interaction
    multiplies such columns. A factor of an interaction whose margin (the interaction without it) is absent from the
    model is coded by one indicator per level, so that the effect of the others is free in each of its levels. Where
    that would repeat other columns (an interaction without any main effect), the cells of the interaction are coded
    by an orthonormal basis of what is left, over sqrt(2).

    Parameters
    ----------
    terms
        Names of the columns of each term, without the intercept; smaller terms first.
    columns
        The columns by name.
    """
    coded = []
    for position, term in enumerate(terms):
        factors = tuple(column for name in term if isinstance(column := columns[name], Categorical))
        numerics = tuple(column for name in term if isinstance(column := columns[name], Numeric))
        names = tuple(factor.name for factor in factors)
        # Only terms with the same numeric columns can cover a part of this one; the intercept covers the empty part.
        covered: set[frozenset[str]] = set() if numerics else {frozenset()}
        for other in terms[:position]:
            other_numerics = {name for name in other if isinstance(columns[name], Numeric)}
            if other_numerics == {numeric.name for numeric in numerics}:
                covered.update(_subsets(tuple(name for name in names if name in other)))
        free = [part for part in _subsets(names) if part not in covered]
        cells, labels = _code_cells(factors, free)
        prefix = ":".join(numeric.name for numeric in numerics)
        column_names = tuple(":".join(part for part in (label, prefix) if part) for label in labels)
        coded.append(TermCoding(":".join(term), factors, numerics, cells, column_names))
    return tuple(coded)


def _subsets(names: tuple[str, ...]) -> list[frozenset[str]]:
    return [frozenset(part) for size in range(len(names) + 1) for part in combinations(names, size)]


def _code_cells(factors: tuple[Categorical, ...], free: list[frozenset[str]]) -> tuple[FloatArray, list[str]]:
    """Return [L1, ..., Lk, m] coefficients of the cells and m labels for the free parts W_U."""
    names = tuple(factor.name for factor in factors)
    required = frozenset(names).intersection(*free)
    if len(free) == 2 ** (len(names) - len(required)):
        # The free parts are all U between `required` and the whole: indicators for the rest.
        return _product(factors, {name: name in required for name in names})
    blocks, labels = [], []
    for part in free:
        block = np.ones((1,) * len(factors) + (1,))
        for axis, factor in enumerate(factors):
            size = len(factor.levels)
            table = sum_to_zero_basis(size) if factor.name in part else np.full((size, 1), size**-0.5)
            block = _multiply(block, table, axis, len(factors))
        blocks.append(block)
    cells = np.concatenate(blocks, axis=-1) / np.sqrt(2.0)
    labels = [f"{':'.join(names)}[{index + 1}]" for index in range(cells.shape[-1])]
    return cells, labels


def _product(factors: tuple[Categorical, ...], centred: dict[str, bool]) -> tuple[FloatArray, list[str]]:
    cells = np.ones((1,) * len(factors) + (1,))
    labels = [""]
    for axis, factor in enumerate(factors):
        size = len(factor.levels)
        if centred[factor.name]:
            table = level_coding(size)
            own = [f"{factor.name}[{index + 1}]" for index in range(size - 1)]
        else:
            table = np.eye(size)
            own = [f"{factor.name}[{level}]" for level in factor.levels]
        cells = _multiply(cells, table, axis, len(factors))
        labels = [f"{label}:{name}" if label else name for label in labels for name in own]
    return cells, labels


def _multiply(cells: FloatArray, table: FloatArray, axis: int, n_factors: int) -> FloatArray:
    """Multiply [..., m] by a [L, q] table of the factor on `axis`: [..., m q], the new columns fastest."""
    shape = [1] * n_factors
    shape[axis] = table.shape[0]
    grown = cells[..., :, None] * table.reshape(*shape, 1, table.shape[1])
    return np.asarray(grown.reshape(*grown.shape[:-2], -1), dtype=np.float64)
