"""The record of planted errors: how often campaigns of 20, 200 and 1,000 real fits catch each.

``python -m bayesexpr.calibration.planted`` fits `MOST` simulated studies under every error of :data:`.controls.BUGS`,
under those that campaigns are blind to, and under none. The fits are cut into slices of N: each is judged as a campaign
of N, and where it alarms, the alarm is repeated on the next slice (after the last, the first), as the rules of the
verdict ask. So 2,000 fits hold twenty campaigns of 20 (as many as are judged of a size), ten of 200 and two of 1,000;
``--tier`` asks for two campaigns of a smaller tier. Every campaign has seeds of its own, and its replication is
independent of it; the share of campaigns that fail is a rate of detection (without an error: of false alarm). What is
shared makes each cell no less honest, but cells not independent of each other: a replication is another campaign's
first stage, campaigns of different sizes are made of the same fits, and errors that are wrong only in the draws, or in
what is stated of them, share the fits of the program without an error.

The fits are kept, whole or not at all, and the record is written whenever all errors have more of them: it stops at
any moment, says what was measured until then, and goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bayesexpr.errors import InputError

from .campaign import assemble, identify
from .control_program import ControlBackend
from .controls import BLIND, BUGS, NO_BUG, Bug, TwoGroupScenario, scenario_of
from .digests import digest_of
from .evidence import TIERS
from .mutation import Caught, told
from .pool import run_here, run_in_pool
from .record import FOLDER, read_record, seal
from .shared_fits import MORE, SharedSimulator, fit_of, groups, row_of
from .store import Store, write_atomically
from .verdict import FAIL, judge

SIZES = (20, 200, 1000)
MOST = 2000
ROUND = 400
CAMPAIGNS = 20
GENES = 20
SEED = 4
L = 99
PLANTED = (NO_BUG, *BUGS, *BLIND)
RECORD = FOLDER / "planted" / "two_groups.json"
Rows = Mapping[int, dict[str, Any]]


def campaigns(bug: Bug, rows: Rows, size: int) -> list[Caught]:
    """Judge slices of `size` fits, at most `CAMPAIGNS`; alarms are repeated on the next one, of the last on the first.

    Parameters
    ----------
    rows
        Rows of the error's simulations, by number; those from 0 on without a gap are used.
    size
        Simulations of a campaign; there are none where the fits are not enough for two.
    """
    there = next((i for i in range(len(rows)) if i not in rows), len(rows))
    starts = range(0, there - size + 1, size)
    slices = [assemble({i: rows[i] for i in range(at, at + size)}, size, L) for at in starts]
    found = []
    for number, judged in enumerate(slices[:CAMPAIGNS] if len(slices) > 1 else []):
        verdict = judge(judged)
        if verdict.alarms:
            verdict = judge(judged, slices[(number + 1) % len(slices)])
        found.append(told(bug.name, size, verdict))
    return found


def outcome(found: Sequence[Caught]) -> dict[str, Any]:
    """Sum campaigns of one error and size up.

    Returns
    -------
    dict
        ``campaigns``, ``caught`` (that failed), ``alarmed`` (in the first stage), the number of each ``status``, the
        ``quantity`` and ``kind`` named most often, by campaigns that failed or else by those that alarmed, and the
        ``reason`` of the first that was INCONCLUSIVE.
    """
    failed = [c for c in found if c.caught]
    named = Counter((c.quantity, c.kind) for c in failed or found if c.quantity)
    quantity, kind = max(named, key=lambda pair: (named[pair], pair)) if named else ("", "")
    return {
        "bug": found[0].bug,
        "simulations": found[0].simulations,
        "campaigns": len(found),
        "caught": len(failed),
        "alarmed": sum(bool(c.quantity) for c in found),
        "status": dict(Counter(c.status for c in found)),
        "quantity": quantity,
        "kind": kind,
        "reason": next((c.reason for c in found if c.reason), ""),
    }


class Fits:
    """The fits of a group of errors, kept in a folder of their own.

    Parameters
    ----------
    bugs
        Errors that share their fits.
    folder
        In which the group's own is made; another one for another program or simulator.
    """

    def __init__(self, bugs: tuple[Bug, ...], folder: Path) -> None:
        self.bugs = bugs
        scenario = scenario_of(fit_of(bugs[0]), GENES)
        backend = ControlBackend(fit_of(bugs[0])).prepare()
        identity = identify(scenario, backend, simulations=MOST, seed=SEED, L=L) | {"bugs": [repr(b) for b in bugs]}
        self.simulator = SharedSimulator(scenario, backend, SEED, L, bugs)
        digest = digest_of(identity["scenario_digest"], identity["backend_digest"], identity["bugs"])
        slug = re.sub(r"[^a-z0-9]+", "_", bugs[0].name.lower())
        self.store = Store(folder / f"{slug}-{digest[:12]}", identity)
        found = ((i, self.store.read(0, i)) for i in range(MOST))
        self.rows = {i: row for i, row in found if row is not None}

    def extend(self, fits: int, workers: int) -> None:
        """Simulate and fit up to a number of studies."""
        tasks = [(0, i) for i in range(fits) if i not in self.rows]
        many = workers > 1 and len(tasks) > 1
        for row in run_in_pool(self.simulator, tasks, workers) if many else run_here(self.simulator, tasks):
            self.store.write(row)
            self.rows[row["index"]] = row

    def outcomes(self) -> list[dict[str, Any]]:
        """Sum up the campaigns of every error and size that there are fits for."""
        found = []
        for bug in self.bugs:
            rows = {i: row_of(row, bug) for i, row in self.rows.items()}
            found += [outcome(done) for size in SIZES if (done := campaigns(bug, rows, size))]
        return found


def make_record(outcomes: Sequence[dict[str, Any]], fits: int) -> dict[str, Any]:
    """Return the record of planted errors, as plain data."""
    scenario, backend = TwoGroupScenario(GENES), ControlBackend(NO_BUG).prepare()
    identity = identify(scenario, backend, simulations=fits, seed=SEED, L=L)
    return seal({**identity, "bugs_digest": _bugs_digest(), "outcomes": list(outcomes)})


def stale(record: dict[str, Any]) -> list[str]:
    """Say what has changed since the record was made; nothing if it is fresh."""
    now = {
        "scenario_digest": TwoGroupScenario(GENES).digest(),
        "backend_digest": ControlBackend(NO_BUG).digest(),
        "bugs_digest": _bugs_digest(),
    }
    return [f"{key} of the planted errors changed. Run `make evidence`." for key in now if record[key] != now[key]]


def is_fresh(path: Path, fits: int) -> bool:
    """Whether the record exists, is of today's programs, and has so many fits of every error."""
    try:
        record = read_record(path)
    except InputError:
        return False
    return not stale(record) and record["simulations"] >= fits


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the record; returns 1 if a campaign without an error failed."""
    parser = argparse.ArgumentParser(prog="bayesexpr.calibration.planted", description="Plant errors and catch them.")
    parser.add_argument("errors", nargs="*", help="errors to fit studies under, by name; all unless named")
    parser.add_argument("--tier", choices=list(TIERS), default="release", help="the largest campaigns")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--work", type=Path, default=Path("evidence"), help="folder of the campaigns")
    parser.add_argument("--record", type=Path, default=RECORD)
    parser.add_argument("--all", action="store_true", help="also if the record is fresh and large enough")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.errors) - {bug.name for bug in PLANTED}
    if unknown:
        parser.error(f"no error is called {min(unknown)!r}; they are: {', '.join(bug.name for bug in PLANTED)}")
    target = 2 * TIERS[chosen.tier]
    if not chosen.all and is_fresh(chosen.record, target):
        print("planted errors: fresh", file=sys.stderr)
        return 0
    chosen.record.parent.mkdir(parents=True, exist_ok=True)
    kept = [Fits(bugs, chosen.work / "planted") for bugs in groups(PLANTED)]
    asked = [each for each in kept if not chosen.errors or {bug.name for bug in each.bugs} & set(chosen.errors)]
    for fits in [*range(ROUND, target, ROUND), target]:
        for each in asked:
            each.extend(fits, chosen.workers)
            print(f"\r{fits} fits: {each.bugs[0].name:50}", end="", file=sys.stderr, flush=True)
        outcomes = [o for each in kept for o in each.outcomes()]
        least = min(len(each.rows) for each in kept)
        if least:  # of the errors that were not asked for there may be no fits yet: the record there is stays
            write_atomically(chosen.record, json.dumps(make_record(outcomes, least), sort_keys=True, indent=1) + "\n")
    print(file=sys.stderr)
    return int(any(o["status"].get(FAIL) for o in outcomes if o["bug"] == NO_BUG.name))


def _bugs_digest() -> str:
    return digest_of([repr(bug) for bug in PLANTED], asdict(MORE))


if __name__ == "__main__":
    sys.exit(main())
