"""From a formula and a sample table to the columns of the linear predictor.

The model has an intercept of its own for every gene, so that the design matrix has none. How columns are coded, and
why, is told in `bayesexpr.data.coding`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import DesignError
from .coding import Categorical, Numeric, TermCoding, code_terms, read_column
from .confounding import check_estimable
from .contrast import Contrast, ContrastSpec, make_contrast
from .formula import Formula, parse_formula
from .identifiers import listed
from .partitions import Partitions, level_partitions, whole_term

__all__ = ["Contrast", "ContrastSpec", "Design", "Partitions", "build_design"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Design:
    """The design matrix, with what its columns mean.

    Parameters
    ----------
    formula
        As given.
    samples
        S names.
    matrix
        [S, K] columns, without an intercept; read-only.
    column_names
        K coefficient names, such as ``dex[1]``, ``age``, ``cell[2]:dex[1]``.
    terms
        Columns of each term, as a slice.
    tested
        Term of interest.
    columns
        Columns of the sample table that the formula names: levels, or values with centre and scale.
    codings
        One per term, in order: how its columns are made.
    notes
        Sentences that the user should read.
    """

    formula: str
    samples: tuple[str, ...]
    matrix: FloatArray
    column_names: tuple[str, ...]
    terms: dict[str, slice]
    tested: str
    columns: dict[str, Categorical | Numeric]
    codings: tuple[TermCoding, ...]
    notes: tuple[str, ...]

    @property
    def tested_columns(self) -> NDArray[np.intp]:
        """[Kt] positions of the columns of the tested term."""
        return np.arange(self.matrix.shape[1])[self.terms[self.tested]]

    @property
    def nuisance_columns(self) -> NDArray[np.intp]:
        """[Kn] positions of all other columns."""
        return np.setdiff1d(np.arange(self.matrix.shape[1]), self.tested_columns)

    @property
    def nuisance_terms(self) -> tuple[str, ...]:
        """Names of the terms that are not tested, in order."""
        return tuple(name for name in self.terms if name != self.tested)

    @property
    def nuisance_term_index(self) -> NDArray[np.intp]:
        """[Kn] position in `nuisance_terms` of each nuisance column."""
        sizes = [self.terms[name].stop - self.terms[name].start for name in self.nuisance_terms]
        return np.repeat(np.arange(len(sizes)), sizes)

    @property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """Levels of each categorical column, in order."""
        return {name: column.levels for name, column in self.columns.items() if isinstance(column, Categorical)}

    @property
    def centring(self) -> dict[str, tuple[float, float]]:
        """Centre and scale of each numeric column: it is coded (x - centre) / scale."""
        return {
            name: (column.centre, column.scale) for name, column in self.columns.items() if isinstance(column, Numeric)
        }

    def contrast(self, spec: ContrastSpec) -> Contrast:
        """Turn a question into weights on the coefficients.

        Parameters
        ----------
        spec
            ``"factor,level,reference"`` or the three as a tuple: the difference of two levels, averaged with equal
            weight over the levels of the factors it interacts with, numeric columns at their means. Or the name of
            a numeric column: the change per unit of it. Or the name of a coefficient, or a mapping of coefficients
            to weights.

        Raises
        ------
        DesignError
            There is no such factor, level, column or coefficient; the message lists what exists.
        """
        return make_contrast(spec, self.codings, self.columns)

    def partitions(self) -> Partitions:
        """Return the components of the exact-zero spike on the tested term.

        A factor has one per way in which its levels can share their expression (two levels: 2, three: 5, four: 15;
        with more: nothing changed, each level against the rest, all free); any other term has two, null and full.
        """
        column = self.columns.get(self.tested)
        if isinstance(column, Categorical):
            return level_partitions(column.levels)
        return whole_term(len(self.tested_columns))


def build_design(formula: str, sample_table: pd.DataFrame, tested: str | None = None) -> Design:
    """Build the design matrix of a formula.

    Parameters
    ----------
    formula
        Such as ``~ batch + condition``; `bayesexpr.data.formula` has its grammar. It is never evaluated.
    sample_table
        Indexed by sample. Text, booleans and pandas categories are factors, numbers are numeric; ``C(name)`` makes
        a factor of a numeric column. Levels are ordered as pandas categories are, or else sorted.
    tested
        Term of interest, by its name or written as in the formula; by default its last term, as in DESeq2.

    Raises
    ------
    DesignError
        The formula is not of the grammar or names no column; a value is missing; a column is constant; two columns
        are confounded; there are more coefficients than samples; `tested` is not a term.

    Warns
    -----
    UserWarning
        There are as many coefficients as samples: only the prior then says what the dispersion is.
    """
    parsed = parse_formula(formula)
    table = {name: read_column(sample_table, name, name in parsed.categorical) for name in parsed.columns}
    notes = _notes(parsed, table)
    codings = code_terms(parsed.terms, table)
    n_samples = len(sample_table)
    matrix = np.concatenate([coding.columns(n_samples) for coding in codings], axis=1)
    check_estimable(matrix, codings, table)
    if matrix.shape[1] + 1 == n_samples:
        text = (
            f"the design has {n_samples} coefficients with the intercept for {n_samples} samples: no sample is "
            "left to learn the dispersion from, which then rests on its prior and on the other genes' trend."
        )
        warnings.warn(text, UserWarning, stacklevel=2)
        notes.append(text)
    matrix.setflags(write=False)
    terms, start = {}, 0
    for coding in codings:
        terms[coding.name] = slice(start, start + len(coding.column_names))
        start += len(coding.column_names)
    if tested is None:
        notes.append(f"The term of interest is `{codings[-1].name}`, the last of the formula.")
    chosen = codings[-1].name if tested is None else _find_term(tested, codings)
    notes += _marginal(chosen, codings)
    return Design(
        formula=formula,
        samples=tuple(str(name) for name in sample_table.index),
        matrix=matrix,
        column_names=tuple(name for coding in codings for name in coding.column_names),
        terms=terms,
        tested=chosen,
        columns=table,
        codings=codings,
        notes=tuple(notes),
    )


def _find_term(tested: str, codings: tuple[TermCoding, ...]) -> str:
    if tested in [coding.name for coding in codings]:
        return tested
    wanted = parse_formula(f"~ {tested}").terms
    for coding in codings:
        if len(wanted) == 1 and coding.variables == set(wanted[0]):
            return coding.name
    raise DesignError(
        f"the term of interest must be in the formula; {tested!r} is not among "
        f"{listed([coding.name for coding in codings], 20)}."
    )


def _notes(formula: Formula, columns: dict[str, Categorical | Numeric]) -> list[str]:
    notes = []
    if not formula.intercept:
        if not any(all(isinstance(columns[name], Categorical) for name in term) for term in formula.terms):
            raise DesignError(
                f"a model of expression must have an intercept; {formula.text!r} takes it away and has only "
                "numeric terms. Leave out the 0 or -1."
            )
        notes.append(
            "Every gene has an intercept of its own; without one in the formula the model is the same, and "
            "contrasts are asked for in the same way."
        )
    for name, column in columns.items():
        if isinstance(column, Numeric):
            distinct = np.unique(column.values)
            if len(distinct) > 2 and 2 * len(distinct) <= len(column.values) and (distinct % 1 == 0).all():
                notes.append(
                    f"`{name}` is numeric, so that its effect is a straight line; write C({name}) to treat its "
                    f"{len(distinct)} values as levels."
                )
    return notes


def _marginal(tested: str, codings: tuple[TermCoding, ...]) -> list[str]:
    """Return a note if the tested term is a part of an interaction."""
    parts = {coding.name: coding.variables for coding in codings}
    larger = [name for name, variables in parts.items() if parts[tested] < variables]
    if not larger:
        return []
    return [
        f"`{tested}` is also a part of {listed(larger)}: what is tested is its average over the columns that it "
        "interacts "
        "with."
    ]
