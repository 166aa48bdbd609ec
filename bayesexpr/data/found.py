"""What a reader of one source hands over: counts in the file's own order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class FoundCounts:
    """Counts as found, before they are matched to a sample table.

    Parameters
    ----------
    counts
        [S, G] counts.
    genes
        G names.
    samples
        S names.
    lengths
        Effective lengths, [S, G], if the source has them.
    source
        For messages.
    assignment_variance
        What assigning fragments adds to the variance of each count, [S, G], if the source tells.
    """

    counts: NDArray[np.int64]
    genes: tuple[str, ...]
    samples: tuple[str, ...]
    lengths: NDArray[np.float64] | None
    source: str
    assignment_variance: NDArray[np.float64] | None = None
