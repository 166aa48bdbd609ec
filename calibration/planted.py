"""The record of planted errors: how many simulations with real fits it takes to catch each.

``python -m bayesexpr.calibration.planted`` runs, for every error of :data:`.controls.BUGS`, campaigns of growing size
until one fails, and the same campaigns without an error, of which none may fail. The record is written after every
campaign: it stops at any moment, says what was measured until then, and goes on where it was. An error that a small
campaign caught, twice, is not planted again in a larger one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .campaign import identify
from .control_program import ControlBackend
from .controls import BUGS, NO_BUG, Bug, TwoGroupScenario
from .digests import digest_of
from .mutation import Caught, outcome_of
from .record import FOLDER, read_record, seal
from .store import write_atomically

SIZES = (20, 200, 1000)
GENES = 20
SEED = 4
RECORD = FOLDER / "planted" / "two_groups.json"


def escalate(
    bugs: Sequence[Bug], sizes: Sequence[int], *, genes: int = GENES, seed: int = SEED, workers: int = 1, folder: Path
) -> Iterator[Caught]:
    """Plant each error in campaigns of growing size until it is caught; yield what each campaign found."""
    scenario = TwoGroupScenario(genes)
    open_ = list(bugs)
    for size in sizes:
        for bug in list(open_):
            place = folder / f"{_slug(bug.name)}-{size}"
            backend = ControlBackend(bug)
            found = outcome_of(bug.name, scenario, backend, simulations=size, seed=seed, workers=workers, folder=place)
            yield found
            if found.caught:
                open_.remove(bug)


def make_record(outcomes: Sequence[Caught]) -> dict[str, Any]:
    """Return the record of planted errors, as plain data."""
    scenario, backend = TwoGroupScenario(GENES), ControlBackend(NO_BUG).prepare()
    identity = identify(scenario, backend, simulations=max(c.simulations for c in outcomes), seed=SEED, L=99)
    return seal({**identity, "bugs_digest": _bugs_digest(), "outcomes": [asdict(c) for c in outcomes]})


def stale(record: dict[str, Any]) -> list[str]:
    """Say what has changed since the record was made; nothing if it is fresh."""
    now = {
        "scenario_digest": TwoGroupScenario(GENES).digest(),
        "backend_digest": ControlBackend(NO_BUG).digest(),
        "bugs_digest": _bugs_digest(),
    }
    return [f"{key} of the planted errors changed. Run `make evidence`." for key in now if record[key] != now[key]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the record; returns 1 if the control without an error failed."""
    parser = argparse.ArgumentParser(prog="bayesexpr.calibration.planted", description="Plant errors and catch them.")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="sizes of campaigns, growing")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--work", type=Path, default=Path("evidence"), help="folder of the campaigns")
    parser.add_argument("--record", type=Path, default=RECORD)
    parser.add_argument("--all", action="store_true", help="also if the record is fresh")
    chosen = parser.parse_args(arguments)
    if not chosen.all and chosen.record.exists() and not stale(read_record(chosen.record)):
        print("planted errors: fresh", file=sys.stderr)
        return 0
    outcomes = []
    bugs = sorted((NO_BUG, *BUGS), key=lambda bug: bug.tier)
    chosen.record.parent.mkdir(parents=True, exist_ok=True)
    for found in escalate(bugs, chosen.sizes, workers=chosen.workers, folder=chosen.work / "planted"):
        print(found, file=sys.stderr)
        outcomes.append(found)
        write_atomically(chosen.record, json.dumps(make_record(outcomes), sort_keys=True, indent=1) + "\n")
    return int(any(c.caught for c in outcomes if c.bug == NO_BUG.name))


def _bugs_digest() -> str:
    return digest_of([repr(bug) for bug in BUGS])


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower())


if __name__ == "__main__":
    sys.exit(main())
