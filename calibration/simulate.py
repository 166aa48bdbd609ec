"""Seeds of a campaign: each simulation has its own, whatever the number of workers and the order they finish in.

All random streams are spawned from one seed by the numbers of stage, simulation and purpose (NumPy's SeedSequence),
so no two simulations share a stream, and one simulation can be run again by itself.
"""

from __future__ import annotations

import numpy as np

from bayesexpr.stan.settings import MAX_SEED

DATA, FIT, TIES = 0, 1, 2


def stream(seed: int, stage: int, index: int, purpose: int) -> np.random.Generator:
    """Return the generator of one purpose of one simulation.

    Parameters
    ----------
    seed
        Of the campaign.
    stage
        0; 1 for the replication of an alarm.
    index
        Number of the simulation.
    purpose
        `DATA`, `FIT` or `TIES`.
    """
    return np.random.default_rng(_sequence(seed, stage, index, purpose))


def fit_seed(seed: int, stage: int, index: int, attempt: int = 0) -> int:
    """Seed of one fit, 1 to 2^31 - 1; another one for each attempt."""
    words = _sequence(seed, stage, index, FIT, attempt).generate_state(1)
    return int(words[0]) % MAX_SEED + 1


def _sequence(seed: int, *key: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(entropy=seed, spawn_key=key)
