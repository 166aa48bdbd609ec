"""Say in words why a design cannot be estimated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from ..errors import DesignError
from .coding import Categorical, Numeric, TermCoding
from .identifiers import listed

FloatArray = NDArray[np.float64]
TOLERANCE = 1e-9  # of the largest singular value; columns are scaled alike


def check_estimable(
    matrix: FloatArray, codings: Sequence[TermCoding], columns: Mapping[str, Categorical | Numeric]
) -> None:
    """Raise a DesignError unless the columns and the intercept are linearly independent.

    Parameters
    ----------
    matrix
        [S, K] design without the intercept.
    codings
        The terms of its columns.
    columns
        Columns of the sample table by name.
    """
    n_samples, n_columns = matrix.shape
    full = np.column_stack([np.ones(n_samples), matrix])
    _, singular, rows = np.linalg.svd(full, full_matrices=False)
    rank = int((singular > TOLERANCE * singular[0]).sum())
    if rank == n_columns + 1:
        return
    reason = _confounded_pair(codings, columns) or _empty_cell(codings)
    if reason is None and n_columns + 1 > n_samples:
        parts = ", ".join(f"{coding.name!r} {len(coding.column_names)}" for coding in codings)
        reason = (
            f"there are {n_columns + 1} coefficients (the intercept 1, {parts}) but only {n_samples} samples. Use "
            "fewer terms"
        )
    if reason is None:
        reason = _dependent_terms(rows[rank:, 1:], codings)
    raise DesignError(f"every coefficient of a design must be estimable; {reason}.")


def _main_effects(
    codings: Sequence[TermCoding], columns: Mapping[str, Categorical | Numeric]
) -> list[Categorical | Numeric]:
    return [columns[coding.name] for coding in codings if len(coding.factors) + len(coding.numerics) == 1]


def _confounded_pair(codings: Sequence[TermCoding], columns: Mapping[str, Categorical | Numeric]) -> str | None:
    for first, second in combinations(_main_effects(codings, columns), 2):
        if isinstance(first, Categorical) and isinstance(second, Categorical):
            reason = _confounded_factors(first, second)
        elif isinstance(first, Numeric) and isinstance(second, Numeric):
            reason = _same_line(first, second)
        elif isinstance(first, Categorical) and isinstance(second, Numeric):
            reason = _constant_within(first, second)
        elif isinstance(first, Numeric) and isinstance(second, Categorical):
            reason = _constant_within(second, first)
        else:
            reason = None
        if reason:
            return reason
    return None


def _confounded_factors(first: Categorical, second: Categorical) -> str | None:
    table = np.zeros((len(first.levels), len(second.levels)), dtype=bool)
    table[first.codes, second.codes] = True
    groups = _connected(table)
    if len(groups) < 2:
        return None
    start = f"`{first.name}` and `{second.name}` are confounded: "
    for one, other, cross in ((first, second, table), (second, first, table.T)):
        if (cross.sum(axis=1) == 1).all():
            said = [
                f"every sample with {one.name} = {level!r} has {other.name} = {other.levels[int(row.argmax())]!r}"
                for level, row in zip(one.levels, cross, strict=True)
            ]
            more = f", and so on for {len(said) - 4} more levels" if len(said) > 4 else ""
            return (
                f"{start}{', '.join(said[:4])}{more}, so that `{one.name}` determines `{other.name}` and their "
                "effects cannot be told apart. Drop one of them from the formula"
            )
    said = [
        f"{first.name} {listed([first.levels[i] for i in left])} occur only with {second.name} "
        f"{listed([second.levels[i] for i in right])}"
        for left, right in groups[:4]
    ]
    return f"{start}{'; '.join(said)}, and nothing links these groups. Drop one of them from the formula"


def _connected(table: NDArray[np.bool_]) -> list[tuple[list[int], list[int]]]:
    """Return the groups of rows and columns that samples link."""
    left = set(range(table.shape[0]))
    groups = []
    while left:
        rows = {min(left)}
        while True:
            members = table[sorted(rows)].any(axis=0)
            grown = set(np.flatnonzero(table[:, members].any(axis=1)).tolist())
            if grown == rows:
                break
            rows = grown
        groups.append((sorted(rows), np.flatnonzero(members).tolist()))
        left -= rows
    return groups


def _same_line(first: Numeric, second: Numeric) -> str | None:
    correlation = float(np.mean(first.coded * second.coded) * 4.0)
    if abs(correlation) < 1.0 - TOLERANCE:
        return None
    return (
        f"`{first.name}` and `{second.name}` are confounded: one is the other up to origin and scale. Drop one of "
        "them from the formula"
    )


def _constant_within(factor: Categorical, numeric: Numeric) -> str | None:
    for code in range(len(factor.levels)):
        values = numeric.coded[factor.codes == code]
        if np.ptp(values) > TOLERANCE:
            return None
    return (
        f"`{factor.name}` and `{numeric.name}` are confounded: all samples of a level of {factor.name} have the "
        f"same {numeric.name}, so that `{factor.name}` determines `{numeric.name}`. Drop one of them from the "
        "formula"
    )


def _empty_cell(codings: Sequence[TermCoding]) -> str | None:
    for coding in codings:
        if len(coding.factors) < 2:
            continue
        present = set(zip(*(factor.codes.tolist() for factor in coding.factors), strict=True))
        for cell in product(*(range(len(factor.levels)) for factor in coding.factors)):
            if cell not in present:
                where = " and ".join(
                    f"{factor.name} = {factor.levels[code]!r}"
                    for factor, code in zip(coding.factors, cell, strict=True)
                )
                return (
                    f"no sample has {where}, so that the interaction `{coding.name}` cannot be estimated. Drop it, "
                    "or join the columns to one factor in the sample table"
                )
    return None


def _dependent_terms(null: FloatArray, codings: Sequence[TermCoding]) -> str:
    involved, start = [], 0
    for coding in codings:
        stop = start + len(coding.column_names)
        if np.abs(null[:, start:stop]).max() > 1e-6:
            involved.append(coding.name)
        start = stop
    names = [f"`{name}`" for name in involved]
    if len(names) == 1:
        return f"the columns of {names[0]} determine each other. Drop it from the formula"
    return (
        f"{', '.join(names[:-1])} and {names[-1]} are confounded: the columns of the last are determined by the "
        "others. Drop one of them from the formula"
    )
