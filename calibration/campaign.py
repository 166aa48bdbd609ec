"""Campaigns: simulate, fit and rank many times, and judge; stopped at any moment, they go on where they were."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np

from bayesexpr.errors import OptionError

from .backend import Backend
from .cluster import run_on_cluster
from .pool import run_here, run_in_pool, run_on
from .result import Campaign
from .scenarios import Scenario
from .simulation import Simulator
from .store import Store
from .table import RankTable
from .verdict import judge

DRAWS_RANKED = 99
_Run = Callable[[list[tuple[int, int]]], Iterator[dict[str, Any]]]
_VERSIONS = {name: metadata.version(name) for name in ("bayesexpr", "numpy", "scipy")}


@dataclass(frozen=True)
class Progress:
    """How far a campaign is.

    Attributes
    ----------
    stage
        ``simulations``, or ``replication`` of an alarm.
    done, total, failed
        Numbers of simulations.
    seconds_left
        Estimated from those run so far; None before the first.
    """

    stage: str
    done: int
    total: int
    failed: int
    seconds_left: float | None

    def __str__(self) -> str:
        text = f"{self.stage} {self.done}/{self.total}"
        if self.failed:
            text += f", {self.failed} failed"
        if self.seconds_left is None:
            return text
        minutes, seconds = divmod(round(self.seconds_left), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{text}, {hours}:{minutes:02d}:{seconds:02d} left  "


def run_campaign(
    scenario: Scenario,
    backend: Backend,
    *,
    simulations: int,
    seed: int = 1,
    L: int = DRAWS_RANKED,
    folder: str | os.PathLike[str] | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    scheduler: str | None = None,
    replicate: bool = True,
    progress: Callable[[Progress], None] | None = None,
) -> Campaign:
    """Run a campaign, or go on with one.

    Parameters
    ----------
    scenario, backend
        What is simulated; what fits it.
    simulations
        Number of simulations, declared beforehand: a folder keeps to the number it was made with, for simulating on
        until a verdict pleases is no test.
    seed
        Of everything random.
    L
        Draws ranked among; (L + 1) with many divisors makes round coverages.
    folder
        Where every finished simulation is saved; without one, nothing is.
    workers
        Processes on this machine. What they are given must be picklable.
    executor
        Where to run instead of on this machine: any ``concurrent.futures`` executor, with `workers` at once.
    scheduler
        Address of a Dask scheduler whose workers run the simulations.
    replicate
        Whether an alarm is repeated on fresh seeds.
    progress
        Told after every simulation.

    Returns
    -------
    Campaign

    Raises
    ------
    OptionError
        If a number is out of range.
    InputError
        If the folder belongs to another campaign, or the simulator and the backend do not fit together.
    """
    _check(simulations=simulations, L=L, workers=workers)
    ready = backend.prepare()
    identity = identify(scenario, ready, simulations=simulations, seed=seed, L=L)
    run = _runner(scenario, backend, ready, identity, workers, executor, scheduler)
    store = Store(folder, identity) if folder is not None else None

    def stage(number: int) -> dict[int, dict[str, Any]]:
        return _collect(run, store, number, simulations, progress)

    rows = stage(0)
    table = assemble(rows, simulations, L)
    verdict = judge(table)
    again = assemble(stage(1), simulations, L) if verdict.awaits_replication and replicate else None
    if again is not None:
        verdict = judge(table, again)
    campaign = Campaign(
        table,
        verdict,
        identity,
        replication=again,
        decisions=gather_decisions(rows),
        folder=store.folder if store else None,
    )
    if store is not None:
        campaign.write(store.folder)
    return campaign


def replay(
    scenario: Scenario, backend: Backend, index: int, *, seed: int, L: int = DRAWS_RANKED, stage: int = 0
) -> dict[str, Any]:
    """Run one simulation of a campaign again by itself and return its row."""
    return Simulator(scenario, backend.prepare(), seed, L).run(stage, index)


def identify(scenario: Scenario, backend: Backend, *, simulations: int, seed: int, L: int) -> dict[str, Any]:
    """Return what the ranks of a campaign follow from; of studies of a fit's design also what that is."""
    facts = getattr(scenario, "facts", None)
    return {
        **({} if facts is None else {"study": facts()}),
        "scenario": scenario.name,
        "scenario_digest": scenario.digest(),
        "backend": backend.name,
        "backend_digest": backend.digest(),
        "simulations": simulations,
        "seed": seed,
        "L": L,
        "versions": {"python": platform.python_version(), **_VERSIONS, **backend.versions()},
        "machine": platform.machine(),
    }


def assemble(rows: dict[int, dict[str, Any]], planned: int, L: int) -> RankTable:
    """Put rows of simulations into one table."""
    good = [rows[i] for i in sorted(rows) if "reason" not in rows[i]]
    failures = {i: str(rows[i]["reason"]) for i in sorted(rows) if "reason" in rows[i]}
    implausible = {i: str(rows[i]["implausible"]) for i in sorted(rows) if rows[i].get("implausible")}
    names = tuple(good[0]["names"]) if good else ()

    def column(key: str, kind: type = float) -> Any:
        return np.array([row[key] for row in good], dtype=kind).reshape(len(good), len(names))

    divergent = [row["diagnostics"].get("divergences") for row in good]
    return RankTable(
        names=names,
        L=L,
        rank=column("rank", int),
        uses_data=tuple(good[0]["uses_data"]) if good else (),
        truth=column("truth"),
        mean=column("mean"),
        sd=column("sd"),
        ess=column("ess"),
        rhat=column("rhat"),
        index=np.array([row["index"] for row in good], dtype=np.int64),
        planned=planned,
        failures=failures,
        implausible=implausible,
        divergent=None if None in divergent else np.array(divergent, dtype=np.int64),
    )


def gather_decisions(rows: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Decisions of all simulations, arrays [simulation, gene]; none where the scenario makes none."""
    made = [rows[i]["decisions"] for i in sorted(rows) if rows[i].get("decisions")]
    return {name: np.array([one[name] for one in made]) for name in made[0]} if made else {}


def _collect(
    run: _Run,
    store: Store | None,
    stage: int,
    simulations: int,
    progress: Callable[[Progress], None] | None,
) -> dict[int, dict[str, Any]]:
    rows = {}
    if store is not None:
        found = ((i, store.read(stage, i)) for i in range(simulations))
        rows = {i: row for i, row in found if row is not None}
    missing = [(stage, i) for i in range(simulations) if i not in rows]
    start, before = time.monotonic(), len(rows)
    failed = sum("reason" in row for row in rows.values())
    for row in run(missing):
        if store is not None:
            store.write(row)
        rows[row["index"]] = row
        failed += "reason" in row
        if progress is not None:
            pace = (time.monotonic() - start) / (len(rows) - before)
            left = pace * (simulations - len(rows))
            progress(Progress("replication" if stage else "simulations", len(rows), simulations, failed, left))
    return rows


def _runner(
    scenario: Scenario,
    backend: Backend,
    ready: Backend,
    identity: dict[str, Any],
    workers: int,
    executor: Executor | None,
    scheduler: str | None,
) -> _Run:
    """Where simulations run: a cluster, an executor, this process, or a pool of its own."""
    given, prepared = (Simulator(scenario, each, identity["seed"], identity["L"]) for each in (backend, ready))

    def run(tasks: list[tuple[int, int]]) -> Iterator[dict[str, Any]]:
        if not tasks:
            return iter(())
        if scheduler is not None:
            return run_on_cluster(scheduler, given, tasks, json.dumps(identity, sort_keys=True))
        if executor is not None:
            return run_on(executor, prepared, tasks, workers)
        return run_here(prepared, tasks) if workers == 1 or len(tasks) < 2 else run_in_pool(prepared, tasks, workers)

    return run


def _check(**values: int) -> None:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise OptionError(f"{name} is a whole number of at least 1; it is {value!r}.")
