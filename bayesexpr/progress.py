"""How long work tells where it is: nothing by default, lines and a bar on a terminal when the command line asks."""

from __future__ import annotations

import sys
from typing import Any, Protocol


class Progress(Protocol):
    """What a fit tells while it works."""

    def say(self, text: str) -> None:
        """Tell one line; a line that starts as the one before it replaces it."""

    def sampling(self, chain: int, iteration: int, iterations: int, warmup: bool) -> None:
        """Tell how far a chain is."""

    def close(self) -> None:
        """End the line or bar that is open."""


class Silent:
    """Say nothing."""

    def say(self, text: str) -> None:
        """Drop the line."""

    def sampling(self, chain: int, iteration: int, iterations: int, warmup: bool) -> None:
        """Drop the news."""

    def close(self) -> None:
        """Do nothing."""


class Terminal:
    """Lines on stderr, and one bar with the time left over all chains while they sample.

    Parameters
    ----------
    chains
        Number of chains of the fit.
    """

    def __init__(self, chains: int) -> None:
        self._chains = chains
        self._done: dict[int, int] = {}
        self._bar: Any = None

    def say(self, text: str) -> None:
        """Print the line."""
        self.close()
        print(text, file=sys.stderr, flush=True)

    def sampling(self, chain: int, iteration: int, iterations: int, warmup: bool) -> None:
        """Move the bar."""
        from tqdm import tqdm

        if self._bar is None:
            total = self._chains * iterations
            self._bar = tqdm(total=total, unit="it", desc="sampling", file=sys.stderr, smoothing=0.1, mininterval=0.5)
        self._bar.update(iteration - self._done.get(chain, 0))
        self._done[chain] = iteration
        self._bar.set_postfix_str(f"chain {chain} {'warms up' if warmup else 'samples'}", refresh=False)

    def close(self) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
