"""Campaigns that were saved: read from their folder, ranks and decisions as they were, the verdict judged again."""

from __future__ import annotations

import json
import os
from pathlib import Path

from bayesexpr.errors import InputError

from .campaign import assemble, gather_decisions
from .result import Campaign
from .store import CAMPAIGN, SUMMARY, Store
from .verdict import judge


def load(folder: str | os.PathLike[str]) -> Campaign:
    """Open a CAMPAIGN folder.

    Raises
    ------
    InputError
        The folder holds no campaign, or one that has not run to its end.
    """
    root = Path(folder)
    try:
        identity = json.loads((root / CAMPAIGN).read_text(encoding="utf-8"))
        simulations, L = int(identity["simulations"]), int(identity["L"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{str(root)!r} is not a campaign: {error}. Name the folder that was given as -o to `bayesexpr sbc`."
        ) from None
    store = Store(root, identity)
    stages = []
    for stage in (0, 1):
        found = {i: store.read(stage, i) for i in range(simulations)}
        stages.append({i: row for i, row in found.items() if row is not None})
    first, second = stages
    if len(first) < simulations or 0 < len(second) < simulations or not (root / SUMMARY).is_file():
        raise InputError(
            f"the campaign in {str(root)!r} is not finished: {len(first)} of {simulations} simulations are done. "
            "Run it again with the same folder; it goes on where it stopped."
        )
    table = assemble(first, simulations, L)
    again = assemble(second, simulations, L) if second else None
    return Campaign(
        table,
        judge(table, again),
        identity,
        replication=again,
        decisions=gather_decisions(first),
        folder=root,
    )
