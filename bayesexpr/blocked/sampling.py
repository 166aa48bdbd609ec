"""Chains of the blocked sampler side by side, with progress, and their draws on disk as Stan's are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bayesexpr.blocked.chain import Chain, seen
from bayesexpr.blocked.slow import Mixing
from bayesexpr.blocked.target import Target
from bayesexpr.distributions import Float
from bayesexpr.empirical_bayes.whitening import WarmStart, starting_points
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.posterior.de_draws import release
from bayesexpr.stan.output import ChainDraws
from bayesexpr.stan.settings import SamplerSettings

T = TypeVar("T")

POLL_SECONDS = 0.2

DRAWS_IN_MEMORY = 50
"""Draws of a chain after which the memory of its mapped file goes back to the system."""


def sample(
    model: NegativeBinomialDE,
    data: Mapping[str, Any],
    warm: WarmStart,
    library: Path,
    settings: SamplerSettings,
    scratch: Path,
    progress: Callable[[int, int, int, bool], None] | None = None,
    starts: list[dict[str, Float]] | None = None,
) -> tuple[ChainDraws, ...]:
    """Run all chains.

    Parameters
    ----------
    data
        As ``model.complete`` returns it.
    library
        The kernel's core as a shared library.
    settings
        Chains, iterations of the warm-up and after it, of which every ``thin``-th is kept, seed and cores; the rest is
        NUTS's.
    scratch
        Where draws are kept while they are made, as memory maps.
    progress
        Called with chain (from 1), iteration, iterations and whether the chain warms up.
    starts
        Whitened coordinates ``zeta`` and ``z`` for each chain to start at; drawn from the approximation unless given.

    Returns
    -------
    tuple of ChainDraws
        As the Stan program's output: whitened coordinates ``zeta.h`` and ``z.g.p``, genes fastest.
    """
    begin = starts or starting_points(warm, settings.chains, np.random.default_rng([settings.seed, 2]))
    seeds = np.random.SeedSequence([settings.seed, 3]).spawn(settings.chains)
    done, stop = [0] * settings.chains, threading.Event()

    first = Target(model, data, warm.whitening, library, threads=settings.threads)
    others = [
        Target(model, data, warm.whitening, library, threads=settings.threads, core=first.core)
        for _ in range(1, settings.chains)
    ]
    chains = [
        Chain(target, start["zeta"], start["z"], np.random.default_rng(seed))
        for target, start, seed in zip([first, *others], begin, seeds, strict=True)
    ]

    def ticker(number: int) -> Callable[[], None]:
        def tick() -> None:
            done[number] += 1
            if stop.is_set():
                raise _StoppedError

        return tick

    def look(number: int) -> float:
        return _warm(chains[number], 0, until, settings.warmup, ticker(number))

    def draw(number: int) -> ChainDraws:
        return _draw(chains[number], settings, looked[number], scratch / f"chain_{number + 1}.f32", ticker(number))

    def tell() -> None:
        for number, count in enumerate(done):
            if progress is not None and count:
                progress(number + 1, count, settings.warmup + settings.draws, count <= settings.warmup)

    _, until = seen(settings.warmup)
    with ThreadPoolExecutor(max_workers=min(settings.cores, settings.chains)) as pool:
        looked = _all([pool.submit(look, number) for number in range(settings.chains)], stop, tell)
        slow = Mixing.together([chain.mixing for chain in chains]).slow()
        for chain in chains:
            chain.move_further(slow)
        return tuple(_all([pool.submit(draw, number) for number in range(settings.chains)], stop, tell))


def _all(futures: list[Future[T]], stop: threading.Event, tell: Callable[[], None]) -> list[T]:
    """Wait for all chains; when one fails, or the user interrupts, have the others stop."""
    try:
        while wait(futures, timeout=POLL_SECONDS).not_done:
            if any(future.done() and future.exception() for future in futures):
                stop.set()
            tell()
    except BaseException:
        stop.set()
        raise
    # a chain that stopped because of another one's failure tells nothing: the failure itself is raised
    for future in sorted(futures, key=lambda future: isinstance(future.exception(), _StoppedError)):
        future.result()
    return [future.result() for future in futures]


class _StoppedError(Exception):
    """Another chain failed, or the user interrupted."""


def _warm(chain: Chain, begin: int, end: int, iterations: int, tick: Callable[[], None]) -> float:
    """Make the steps of a warm-up from `begin` up to, but not including, `end`; returns the seconds that they took."""
    began = time.perf_counter()
    for iteration in range(begin, end):
        chain.warm(iteration, iterations)
        tick()
    return time.perf_counter() - began


def _draw(chain: Chain, settings: SamplerSettings, seconds: float, path: Path, tick: Callable[[], None]) -> ChainDraws:
    """Finish the warm-up, of which so many seconds have passed, and draw."""
    H, (G, P) = chain.zeta.size, chain.z.shape
    seconds += _warm(chain, seen(settings.warmup)[1], settings.warmup, settings.warmup, tick)
    warmed = time.perf_counter()
    kept = np.memmap(path, dtype=np.float32, mode="w+", shape=(settings.kept_draws, H + G * P))
    stats: Float = np.empty((settings.kept_draws, 7))
    for draw in range(settings.kept_draws):
        accepted, diverged, density = 0.0, False, 0.0
        for _ in range(settings.thin):
            acceptance, density, runaway = chain.draw()
            accepted, diverged = accepted + acceptance / settings.thin, diverged or runaway
            tick()
        kept[draw, :H] = chain.zeta
        kept[draw, H:] = chain.z.ravel(order="F")
        if draw % DRAWS_IN_MEMORY == 0:
            release(kept)
        stats[draw] = density, accepted, chain.hyper_step, 0, settings.thin * chain.leaps, diverged, np.nan
    names = [f"zeta.{h + 1}" for h in range(H)] + [f"z.{g + 1}.{p + 1}" for p in range(P) for g in range(G)]
    return ChainDraws(
        names=tuple(names),
        sampler=stats,
        draws=kept,
        warmup_seconds=seconds,
        sampling_seconds=time.perf_counter() - warmed,
    )
