"""The mutation score: how many planted errors a campaign of a given size catches, and what it says they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .backend import Backend
from .campaign import run_campaign
from .controls import BUGS, NO_BUG, Bug, GridBackend, TwoGroupScenario
from .scenarios import Scenario
from .verdict import FAIL, INCONCLUSIVE, Verdict


@dataclass(frozen=True)
class Caught:
    """What a campaign said of one planted error.

    Attributes
    ----------
    status
        PASS, FAIL or INCONCLUSIVE.
    quantity, kind
        The strongest alarm and its likely kind; empty without one.
    adjusted
        Its Holm-adjusted p-value.
    reason
        Why a campaign is INCONCLUSIVE; empty for a verdict.
    """

    bug: str
    simulations: int
    status: str
    quantity: str
    kind: str
    adjusted: float
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.bug}, {self.simulations}: {self.words}"

    @property
    def words(self) -> str:
        """The status, and what alarmed; why, where it is no verdict."""
        if self.reason:
            return f"{self.status}: {self.reason}"
        return f"{self.status} {self.quantity} {self.kind}".rstrip()

    @property
    def caught(self) -> bool:
        """Whether the campaign failed."""
        return self.status == FAIL


@dataclass(frozen=True)
class MutationScore:
    """Outcome over all planted errors, and that of the control without one."""

    rows: tuple[Caught, ...]
    control: Caught

    @property
    def score(self) -> float:
        """Share of the planted errors that were caught."""
        return sum(row.caught for row in self.rows) / len(self.rows)


def mutation_score(
    simulations: int,
    *,
    genes: int = 20,
    offset_sd: float = 0.3,
    seed: int = 1,
    bugs: Sequence[Bug] = BUGS,
    workers: int = 1,
    progress: Callable[[str], None] | None = None,
) -> MutationScore:
    """Run one campaign with exact posteriors for every planted error, and one without.

    Parameters
    ----------
    simulations
        Size of each campaign.
    genes
        Genes of each simulated study.
    offset_sd
        Sd of the offsets.
    seed
        Of each campaign.
    workers
        Processes of each campaign.
    progress
        Told one line for each campaign.
    """
    scenario = TwoGroupScenario(genes, offset_sd)

    def outcome(bug: Bug) -> Caught:
        found = outcome_of(
            bug.name, scenario, GridBackend(bug), simulations=simulations, seed=seed, workers=workers, folder=None
        )
        if progress is not None:
            progress(str(found))
        return found

    return MutationScore(tuple(outcome(bug) for bug in bugs), outcome(NO_BUG))


def outcome_of(
    bug: str,
    scenario: Scenario,
    backend: Backend,
    *,
    simulations: int,
    seed: int,
    workers: int,
    folder: Path | None,
) -> Caught:
    """Run one campaign against a backend with a planted error and say what it found."""
    campaign = run_campaign(scenario, backend, simulations=simulations, seed=seed, workers=workers, folder=folder)
    return told(bug, simulations, campaign.verdict)


def told(bug: str, simulations: int, verdict: Verdict) -> Caught:
    """Say what a verdict found."""
    strongest = min(verdict.alarms, key=lambda q: q.adjusted, default=None)
    return Caught(
        bug=bug,
        simulations=simulations,
        status=verdict.status,
        quantity=strongest.name if strongest else "",
        kind=strongest.kind if strongest else "",
        adjusted=strongest.adjusted if strongest else 1.0,
        reason=_why(verdict) if verdict.status == INCONCLUSIVE else "",
    )


def _why(verdict: Verdict) -> str:
    """First reason of a verdict; with the next, where it announces that."""
    first, *rest = verdict.reasons
    return f"{first} {rest[0]}" if first.endswith(":") and rest else first
