"""The ranks of a campaign as one table: simulations x test quantities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesexpr.errors import InputError

from .ranks import LEAST_ESS, Floats, Ints

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RankTable:
    """What is judged.

    Attributes
    ----------
    names
        Of the test quantities [quantity].
    L
        Number of draws ranked among.
    rank
        [simulation, quantity], 0..L; -1 where a rank was refused because draws were too dependent.
    uses_data
        [quantity]: whether the quantity is a function of the data too.
    truth, mean, sd, ess, rhat
        [simulation, quantity] or None: true value, posterior mean and sd, effective sample size, split R-hat. The
        effective sample size shrinks where chains disagree, so that it alone decides which ranks are refused.
    index
        [simulation]: number of each finished simulation.
    planned
        Simulations that were asked for; those not in the table failed.
    failures
        Reasons of failed simulations, by number.
    implausible
        What is outside the bounds of a plausible experiment, by number of the simulation.
    divergent
        [simulation] or None: number of divergent transitions.
    """

    names: tuple[str, ...]
    L: int
    rank: Ints
    uses_data: tuple[bool, ...] = ()
    truth: Floats | None = None
    mean: Floats | None = None
    sd: Floats | None = None
    ess: Floats | None = None
    rhat: Floats | None = None
    index: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    planned: int = 0
    failures: dict[int, str] = field(default_factory=dict)
    implausible: dict[int, str] = field(default_factory=dict)
    divergent: Ints | None = None

    def __post_init__(self) -> None:
        rank = np.asarray(self.rank)
        if rank.ndim != 2 or rank.shape[1] != len(self.names):
            raise InputError(
                f"ranks are [simulation, quantity] with {len(self.names)} quantities; their shape is {rank.shape}."
            )
        bad = (rank < -1) | (rank > self.L) | (rank != np.floor(rank))
        if bad.any():
            i, q = np.argwhere(bad)[0]
            raise InputError(
                f"ranks are whole numbers from 0 to L = {self.L} (-1: refused); simulation {i} of {self.names[q]!r} "
                f"has {rank[i, q]}."
            )
        object.__setattr__(self, "rank", rank.astype(np.int64))
        if not self.uses_data:
            object.__setattr__(self, "uses_data", (False,) * len(self.names))
        if self.index.size == 0:
            object.__setattr__(self, "index", np.arange(len(rank)))
        if self.planned == 0:
            object.__setattr__(self, "planned", len(rank) + len(self.failures))

    @property
    def finished(self) -> int:
        """Simulations that have ranks."""
        return len(self.rank)

    @property
    def failed_share(self) -> float:
        """Share of the planned simulations that failed."""
        return len(self.failures) / self.planned if self.planned else 0.0

    def position(self, name: str) -> int:
        """Column of a quantity."""
        try:
            return self.names.index(name)
        except ValueError:
            raise InputError(f"there is no test quantity {name!r}; there are {', '.join(self.names)}.") from None

    def ranks_of(self, name: str) -> Ints:
        """Ranks of one quantity, without those that were refused."""
        column = self.rank[:, self.position(name)]
        return np.asarray(column[column >= 0])

    def column(self, what: str, name: str) -> Floats | None:
        """Give one of truth, mean, sd, ess, rhat of one quantity, for the simulations that have its rank."""
        values = getattr(self, what)
        if values is None:
            return None
        place = self.position(name)
        return np.asarray(values[self.rank[:, place] >= 0, place])

    def excluded_share(self, name: str) -> float:
        """Share of finished simulations in which the rank of a quantity was refused."""
        return float(np.mean(self.rank[:, self.position(name)] < 0)) if self.finished else 0.0

    def dependent(self, name: str) -> bool:
        """Whether half of all fits have fewer than half as many effective draws as are ranked among."""
        if self.ess is None or not self.finished:
            return False
        return bool(np.median(self.ess[:, self.position(name)]) < LEAST_ESS * self.L)

    def select(self, names: Sequence[str]) -> RankTable:
        """Keep some quantities."""
        places = [self.position(n) for n in names]

        def cut(values: NDArray[Any] | None) -> Any:
            return None if values is None else values[:, places]

        return RankTable(
            names=tuple(names),
            L=self.L,
            rank=self.rank[:, places],
            uses_data=tuple(self.uses_data[p] for p in places),
            truth=cut(self.truth),
            mean=cut(self.mean),
            sd=cut(self.sd),
            ess=cut(self.ess),
            rhat=cut(self.rhat),
            index=self.index,
            planned=self.planned,
            failures=self.failures,
            implausible=self.implausible,
            divergent=self.divergent,
        )

    def to_frame(self) -> pd.DataFrame:
        """Long form: simulation, quantity, rank, L and, where known, truth, mean, sd, ess, rhat."""
        import pandas as pd

        n, q = self.rank.shape
        columns: dict[str, Any] = {
            "simulation": np.repeat(self.index, q),
            "quantity": np.tile(np.array(self.names, dtype=object), n),
            "rank": self.rank.ravel(),
            "L": np.full(n * q, self.L),
        }
        for name in ("truth", "mean", "sd", "ess", "rhat"):
            values = getattr(self, name)
            if values is not None:
                columns[name] = values.ravel()
        return pd.DataFrame(columns)
