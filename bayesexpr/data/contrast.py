"""Contrasts: the question asked of a design, as weights on its coefficients."""

from __future__ import annotations

import csv
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import DesignError
from .coding import Categorical, Numeric, TermCoding
from .identifiers import listed

FloatArray = NDArray[np.float64]
LONGEST_NAME = 64


@dataclass(frozen=True, eq=False)
class Contrast:
    """A linear combination of the coefficients of a design: a natural-log change in expression.

    Parameters
    ----------
    name
        Safe as a part of a file name.
    weights
        [K] weights; the effect is ``coefficients @ weights``.
    label
        For a plot or a table: ``dex: trt vs untrt``.
    description
        One sentence.
    """

    name: str
    weights: FloatArray
    label: str
    description: str


ContrastSpec = str | Sequence[str] | Mapping[str, float]


def slug(text: str) -> str:
    """Return a file-safe name of at most 64 characters; a digest keeps it distinct where letters are lost."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")
    if safe and safe == text and len(safe) <= LONGEST_NAME:
        return safe
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{safe[: LONGEST_NAME - 9]}_{digest}" if safe else digest


def make_contrast(
    spec: ContrastSpec, codings: Sequence[TermCoding], columns: Mapping[str, Categorical | Numeric]
) -> Contrast:
    """Turn a question into weights; `Design.contrast` tells the forms it takes."""
    coefficients = [name for coding in codings for name in coding.column_names]
    if isinstance(spec, Mapping):
        return _from_weights(spec, coefficients)
    if isinstance(spec, str):
        if isinstance(columns.get(spec), Numeric):
            return _slope(spec, codings, columns)
        if spec in coefficients:
            return _from_weights({spec: 1.0}, coefficients)
        fields = [field.strip() for field in next(csv.reader([spec], skipinitialspace=True), [])]
    else:
        fields = [str(field) for field in spec]
    if len(fields) != 3:
        raise DesignError(
            f"a contrast must be 'factor,level,reference', a numeric column or a coefficient; found {spec!r}. "
            f"{_what_exists(columns, coefficients)}"
        )
    return _difference(fields[0], fields[1], fields[2], codings, columns, coefficients)


def _what_exists(columns: Mapping[str, Categorical | Numeric], coefficients: Sequence[str]) -> str:
    parts = []
    for name, column in columns.items():
        if isinstance(column, Categorical):
            parts.append(f"factor {name!r} with levels {listed(column.levels, 12)}")
        else:
            parts.append(f"numeric column {name!r}")
    return f"The design has {'; '.join(parts)}; coefficients {listed(coefficients, 12)}."


def _difference(
    factor: str,
    level: str,
    reference: str,
    codings: Sequence[TermCoding],
    columns: Mapping[str, Categorical | Numeric],
    coefficients: Sequence[str],
) -> Contrast:
    column = columns.get(factor)
    if not isinstance(column, Categorical):
        reason = "is not in the design" if column is None else "is numeric: give its name alone"
        raise DesignError(
            f"the factor of a contrast must be a categorical column of the design; {factor!r} {reason}. "
            f"{_what_exists(columns, coefficients)}"
        )
    for name in (level, reference):
        if name not in column.levels:
            raise DesignError(
                f"the levels of a contrast must occur in the samples; {factor!r} has {listed(column.levels, 20)}, "
                f"not {name!r}."
            )
    if level == reference:
        raise DesignError(f"the two levels of a contrast must differ; both are {level!r} of {factor!r}.")
    up, down = column.levels.index(level), column.levels.index(reference)
    weights = []
    averaged: list[str] = []
    for coding in codings:
        names = [one.name for one in coding.factors]
        if factor not in names or coding.numerics:
            weights.append(np.zeros(len(coding.column_names)))
            continue
        axis = names.index(factor)
        others = tuple(i for i in range(len(names)) if i != axis)
        by_level = coding.cells.mean(axis=others)
        weights.append(by_level[up] - by_level[down])
        averaged += [name for name in names if name != factor]
    over = list(dict.fromkeys(averaged))
    description = f"natural-log change from {reference!r} to {level!r} of {factor!r}"
    if over:
        description += f", averaged with equal weight over the levels of {listed(over)}"
    return _contrast(
        f"{factor}_{level}_vs_{reference}", weights, f"{factor}: {level} vs {reference}", f"{description}."
    )


def _slope(name: str, codings: Sequence[TermCoding], columns: Mapping[str, Categorical | Numeric]) -> Contrast:
    column = columns[name]
    assert isinstance(column, Numeric)
    weights = []
    averaged: list[str] = []
    for coding in codings:
        # A product with another numeric column is zero at that column's mean.
        if [numeric.name for numeric in coding.numerics] != [name]:
            weights.append(np.zeros(len(coding.column_names)))
            continue
        axes = tuple(range(len(coding.factors)))
        weights.append(coding.cells.mean(axis=axes) / column.scale)
        averaged += [factor.name for factor in coding.factors]
    description = f"natural-log change per unit of {name!r}"
    if averaged:
        over = list(dict.fromkeys(averaged))
        description += f", averaged with equal weight over the levels of {listed(over)}"
    return _contrast(name, weights, f"{name}: per unit", f"{description}.")


def _from_weights(spec: Mapping[str, float], coefficients: Sequence[str]) -> Contrast:
    unknown = [str(name) for name in spec if name not in coefficients]
    if unknown:
        raise DesignError(
            f"a contrast must weight coefficients of the design; {listed(unknown)} "
            f"{'is' if len(unknown) == 1 else 'are'} not among {listed(coefficients, 30)}."
        )
    weights = np.zeros(len(coefficients))
    for name, weight in spec.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
            raise DesignError(f"weights of a contrast must be finite numbers; {name!r} has {weight!r}.")
        weights[coefficients.index(name)] = float(weight)
    if len(spec) == 1 and list(spec.values()) == [1]:
        text = next(iter(spec))
    else:
        text = " ".join(f"{weight:+g} {name}" for name, weight in spec.items())
    return _contrast(text, [weights], text, f"weighted coefficients: {text}.")


def _contrast(name: str, weights: Sequence[FloatArray], label: str, description: str) -> Contrast:
    joined = np.concatenate(list(weights))
    if not np.abs(joined).max() > 1e-12:
        raise DesignError(
            f"a contrast must have a coefficient; {label!r} has weight zero on all of them. Add its column to the "
            "formula, without the interaction."
        )
    joined.setflags(write=False)
    return Contrast(slug(name), joined, label, description)
