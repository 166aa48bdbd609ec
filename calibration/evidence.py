"""The evidence of the package: one campaign for every program and sampler, at the tier asked for.

``python -m bayesexpr.calibration.evidence`` makes the records anew that are stale or missing, each at the size that is
committed (`recorded_size`); ``--tier`` asks for another size, ``--all`` for all of them, and programs can be named. It
stops at any moment and goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bayesexpr.errors import InputError
from bayesexpr.models import registry

from .campaign import Progress, run_campaign
from .program_sbc import plan
from .record import FOLDER, read_record, stale, write_record

TIERS = {"smoke": 20, "pull_request": 200, "release": 1000}
SEED = 20
FAST = frozenset({"beta_binomial", "dirichlet_multinomial", "gamma_poisson"})
"""Programs whose committed records are of the release tier."""
SAMPLERS = {"negative_binomial_de": ("nuts", "blocked")}
"""Samplers of a program, each with a record of its own; NUTS alone where none are named."""


def samplers(name: str) -> tuple[str, ...]:
    """Return the samplers by which a program is calibrated."""
    return SAMPLERS.get(name, ("nuts",))


def recorded_size(name: str) -> int:
    """Return how many simulations a program's committed record has, at least."""
    return TIERS["release" if name in FAST else "pull_request"]


def is_fresh(path: Path, name: str, simulations: int, method: str = "nuts") -> bool:
    """Whether a program's record exists, is of today's program, and large enough."""
    what, how = plan(name, method=method)
    try:
        record = read_record(path)
    except InputError:
        return False
    return not stale(record, what, how) and record["simulations"]["planned"] >= simulations


def record_path(name: str, folder: Path = FOLDER, method: str = "nuts") -> Path:
    """Path of a program's record by a sampler."""
    what, how = plan(name, method=method)
    return folder / f"{what.name}-{how.name}.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make records; returns 1 if one does not pass."""
    parser = argparse.ArgumentParser(prog="bayesexpr.calibration.evidence", description="Make the calibration records.")
    parser.add_argument("programs", nargs="*", help="programs; all unless named")
    parser.add_argument(
        "--tier", choices=list(TIERS), help="size of the campaigns; that which is committed unless given"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--work", type=Path, default=Path("evidence"), help="folder of the campaigns")
    parser.add_argument("--records", type=Path, default=FOLDER, help="folder of the records")
    parser.add_argument("--all", action="store_true", help="also those that are fresh")
    chosen = parser.parse_args(arguments)
    worst = 0
    for name in chosen.programs or registry.names():
        size = TIERS[chosen.tier] if chosen.tier else recorded_size(name)
        for method in samplers(name):
            if not chosen.all and is_fresh(record_path(name, chosen.records, method), name, size, method):
                print(f"{name} by {method}: fresh", file=sys.stderr)
                continue
            worst |= not _record(name, method, size, chosen.workers, chosen.work, chosen.records)
    return int(worst)


def _record(name: str, method: str, size: int, workers: int, work: Path, records: Path) -> bool:
    """Run a campaign and write its record; whether it passes."""
    start = time.monotonic()
    what, how = plan(name, method=method)
    campaign = run_campaign(
        what,
        how,
        simulations=size,
        seed=SEED,
        folder=work / f"{what.name}-{how.name}-{size}-{how.digest()[:12]}-{what.digest()[:12]}",
        workers=workers,
        progress=_tell,
    )
    path = write_record(campaign, records)
    seconds = time.monotonic() - start
    print(f"\r{name} by {method}: {campaign.verdict.status} in {seconds:.0f} s, {path}", file=sys.stderr)
    return campaign.verdict.passed


def _tell(progress: Progress) -> None:
    print(f"\r{progress}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
