"""Names shared by all floors: dimensions, result columns, statuses, and the one conversion of units.

Inside bayesexpr effects are natural logarithms and over-dispersion is Stan's ``phi``; what leaves it is log2 and
dispersion ``1 / phi``. Both conversions are here and nowhere else.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

GENE = "gene"
SAMPLE = "sample_id"  # ArviZ keeps `sample` for the stacked chain and draw
COEFFICIENT = "coefficient"
CONTRAST = "contrast"
TRANSCRIPT = "transcript"
CLASS = "compatibility_class"
COUNTS = "counts"

STARTS = ("approximation", "overdispersed")
"""Where the chains of a differential-expression fit start."""

METHODS = ("auto", "nuts", "blocked", "eb")
"""Ways to fit a differential-expression study, as the command line names them."""

RESULT_COLUMNS = (
    "gene",
    "baseMean",
    "log2FoldChange",
    "lfcSE",
    "ci_lower",
    "ci_upper",
    "prob_gt",
    "lfsr",
    "svalue",
    "lfdr",
    "qvalue",
    "dispersion",
    "rhat",
    "ess_bulk",
    "ess_tail",
    "lfc_if_changed",
    "lfc_if_changed_lower",
    "lfc_if_changed_upper",
    "status",
)

_T = TypeVar("_T", float, NDArray[np.float64], NDArray[Any])


def to_log2(natural: _T) -> _T:
    """Turn a natural logarithm (a number or an array) into a base-2 logarithm."""
    return natural / math.log(2.0)


def from_log2(log2: _T) -> _T:
    """Turn a base-2 logarithm (a number or an array) into a natural logarithm."""
    return log2 * math.log(2.0)


def dispersion_from_phi(phi: _T) -> _T:
    """Turn Stan's ``phi`` into the field's dispersion, Var = mu + dispersion * mu^2."""
    return 1.0 / phi
