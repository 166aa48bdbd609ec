"""What a run of the sampler is told: one frozen record, checked when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bayesexpr.errors import OptionError

MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class SamplerSettings:
    """Settings of NUTS.

    Attributes
    ----------
    chains : int
        Number of chains, each its own process.
    warmup, draws : int
        Iterations of warm-up, and iterations after it, of each chain.
    seed : int
        Seed of the fit, 1 to 2**31 - 1; the chains differ by their number.
    cores : int
        Chains that run at once; where there are at least twice as many as chains, each chain has several threads.
    thin : int
        Every ``thin``-th draw is kept.
    adapt_delta : float
        Target mean acceptance of the step size adaptation, between 0 and 1.
    max_treedepth : int
        Largest depth of a trajectory: at most ``2**max_treedepth - 1`` leapfrog steps.
    metric : str
        ``unit_e``, ``diag_e`` or ``dense_e``.
    step_size : float or None
        Step size to start from (or to use, when nothing adapts); None: Stan's own, 1.
    adapt_engaged : bool
        Whether step size and metric adapt during warm-up.
    init_buffer, term_buffer, window : int or None
        Windows of the adaptation; None: Stan's own, 75, 50 and 25.
    init_radius : float or None
        Half width of the uniform starting values on the unconstrained scale; None: Stan's own, 2.
    """

    chains: int = 4
    warmup: int = 1000
    draws: int = 1000
    seed: int = 1
    cores: int = 1
    thin: int = 1
    adapt_delta: float = 0.8
    max_treedepth: int = 10
    metric: str = "diag_e"
    step_size: float | None = None
    adapt_engaged: bool = True
    init_buffer: int | None = None
    term_buffer: int | None = None
    window: int | None = None
    init_radius: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("chains", 1), ("warmup", 0), ("draws", 1), ("seed", 1), ("cores", 1)):
            self._check_integer(name, least)
        for name, least in (("thin", 1), ("max_treedepth", 1)):
            self._check_integer(name, least)
        for name in ("init_buffer", "term_buffer", "window"):
            if getattr(self, name) is not None:
                self._check_integer(name, 0)
        if self.seed > MAX_SEED:
            raise OptionError(f"the seed is an integer from 1 to {MAX_SEED}; it is {self.seed}.")
        if self.metric not in ("unit_e", "diag_e", "dense_e"):
            raise OptionError(f"the metric is unit_e, diag_e or dense_e; it is {self.metric!r}.")
        if not 0.0 < self.adapt_delta < 1.0:
            raise OptionError(f"adapt_delta lies between 0 and 1; it is {self.adapt_delta}.")
        for name in ("step_size", "init_radius"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise OptionError(f"{name} is a positive number; it is {value}.")

    def _check_integer(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise OptionError(f"{name} is an integer of at least {least}; it is {value!r}.")

    @property
    def threads(self) -> int:
        """Threads of each chain: the cores are shared out among the chains."""
        return max(1, self.cores // self.chains)

    @property
    def kept_draws(self) -> int:
        """Draws of each chain that its output holds."""
        return -(-self.draws // self.thin)

    @property
    def adapts(self) -> bool:
        """Whether there is a warm-up that adapts."""
        return self.adapt_engaged and self.warmup > 0
