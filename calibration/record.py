"""Records: the evidence of a campaign, small enough to be committed, that says itself whether it is still true.

A record holds the counts of every rank, so that its verdict can be computed again from it, and digests of the
program, the simulator and itself. It is fresh as long as those digests are today's; its age does not matter.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from bayesexpr.errors import InputError

from .backend import Backend
from .result import Campaign
from .scenarios import Scenario
from .store import write_atomically
from .table import RankTable
from .verdict import Verdict, judge

FOLDER = Path(__file__).parent / "records"
_OWN = "digest"


def make_record(campaign: Campaign) -> dict[str, Any]:
    """Return the record of a campaign, as plain data."""
    record: dict[str, Any] = {
        **campaign.identity,
        **{k: v for k, v in campaign.to_dict().items() if k not in ("rules", "replay")},
        "diagnostics": _diagnostics(campaign.table),
        "ranks": _counts(campaign.table),
        "replication": None if campaign.replication is None else _counts(campaign.replication),
    }
    return seal(record)


def seal(record: dict[str, Any]) -> dict[str, Any]:
    """Give a record the digest of its own content, which shows whether it was changed afterwards."""
    return record | {_OWN: _digest(record)}


def write_record(campaign: Campaign, folder: Path = FOLDER) -> Path:
    """Write the record of a campaign under the name of its scenario and backend."""
    record = make_record(campaign)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record['scenario']}-{record['backend']}.json"
    write_atomically(path, json.dumps(record, sort_keys=True, separators=(",", ":")).replace('},{"', '},\n{"') + "\n")
    return path


def read_record(path: Path) -> dict[str, Any]:
    """Read a record.

    Raises
    ------
    InputError
        If it is no record, or was changed after it was written.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        stated = record[_OWN]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{str(path)!r} is no calibration record: {error}.") from None
    if stated != _digest(record):
        raise InputError(f"the record {str(path)!r} was changed after it was written. Make it anew: `make evidence`.")
    return dict(record)


def stale(record: dict[str, Any], scenario: Scenario, backend: Backend) -> list[str]:
    """Say what has changed since a record was made; nothing if it is fresh."""
    found = []
    for key, digest in (("scenario_digest", scenario.digest()), ("backend_digest", backend.digest())):
        if record[key] != digest:
            what = "the simulator or its test quantities" if key == "scenario_digest" else "the program or its settings"
            found.append(f"{what} of {record['scenario']} changed since its record was made. Run `make evidence`.")
    return found


def verdict_of(record: dict[str, Any]) -> Verdict:
    """Judge a record again, from the counts of its ranks."""
    second = record["replication"]
    return judge(_table(record, record["ranks"]), None if second is None else _table(record, second))


def _counts(table: RankTable) -> dict[str, Any]:
    """Count the ranks of every quantity: those refused, then 0 to L."""
    return {
        "names": list(table.names),
        "counts": [np.bincount(column + 1, minlength=table.L + 2).tolist() for column in table.rank.T],
        "uses_data": list(table.uses_data),
        "same": _same(table),
        "planned": table.planned,
        "finished": table.finished,
        "failures": {str(k): v for k, v in table.failures.items()},
        "implausible": {str(k): v for k, v in table.implausible.items()},
        "with_divergences": None if table.divergent is None else int(np.count_nonzero(table.divergent)),
    }


def _same(table: RankTable) -> list[int]:
    """Give every quantity the number of the first one with the same ranks in every simulation."""
    seen: dict[bytes, int] = {}
    return [seen.setdefault(table.rank[:, q].tobytes(), q) for q in range(len(table.names))]


def _table(record: dict[str, Any], kept: dict[str, Any]) -> RankTable:
    """Ranks with the record's counts: their order over simulations, which no test looks at, is that of their size."""
    names, L, finished = tuple(kept["names"]), int(record["L"]), int(kept["finished"])
    rank = np.empty((finished, len(names)), dtype=np.int64)
    for q, counts in enumerate(kept["counts"]):
        values = np.repeat(np.arange(-1, L + 1), counts)
        # Equal counts by chance must not become equal columns: they are different tests.
        rank[:, q] = np.roll(values, kept["same"][q])
    flags = kept["with_divergences"]
    return RankTable(
        names=names,
        L=L,
        rank=rank,
        uses_data=tuple(kept["uses_data"]),
        planned=kept["planned"],
        failures={int(k): v for k, v in kept["failures"].items()},
        implausible={int(k): v for k, v in kept["implausible"].items()},
        divergent=None if flags is None else (np.arange(finished) < flags).astype(np.int64),
    )


def _diagnostics(table: RankTable) -> dict[str, Any]:
    if not table.finished or table.ess is None:
        return {}
    return {
        "least_ess": float(table.ess.min()),
        "median_ess": float(np.median(table.ess)),
        "largest_rhat": None if table.rhat is None else float(table.rhat.max()),
        "with_divergences": None if table.divergent is None else int(np.count_nonzero(table.divergent)),
    }


def _digest(record: dict[str, Any]) -> str:
    body = {k: v for k, v in record.items() if k != _OWN}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
