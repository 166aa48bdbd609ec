"""Files of a campaign: every finished simulation is one file, whole or absent, and checked when it is read.

A file is the SHA-256 of its body on the first line and the body, JSON, on the second. It is written beside its place
and moved there, so that a reader sees all of it or nothing; a file that was cut or changed is set aside and simulated
again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

from bayesexpr.errors import InputError, SamplingError

CAMPAIGN = "campaign.json"
SUMMARY = "summary.json"
RANKS = "ranks.csv"


class Store:
    """Folder of a campaign.

    Parameters
    ----------
    folder
        Made if missing.
    identity
        What the campaign's results follow from. A folder made with another one is refused.

    Raises
    ------
    InputError
        If the folder belongs to another campaign or cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str], identity: dict[str, Any]) -> None:
        self.folder = Path(folder)
        self._rows = self.folder / "fits"
        try:
            self._rows.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"the campaign folder {str(folder)!r} cannot be made: {error.strerror}.") from None
        own = self.folder / CAMPAIGN
        known = _read_json(own)
        if known is None:
            if any(self._rows.iterdir()):
                raise InputError(f"{str(folder)!r} has fits but no readable {CAMPAIGN}: choose another folder.")
            write_json(own, identity)
        else:
            differing = sorted(k for k in identity if known.get(k) != json.loads(json.dumps(identity[k])))
            if differing:
                key = differing[0]
                raise InputError(
                    f"{str(folder)!r} holds another campaign: its {key} is {known.get(key)!r}, this one has "
                    f"{identity[key]!r} ({len(differing)} such differences). Choose another folder."
                )

    def path(self, stage: int, index: int) -> Path:
        """File of one simulation."""
        return self._rows / f"{stage}-{index:06d}.json"

    def write(self, row: dict[str, Any]) -> None:
        """Save one simulation."""
        body = json.dumps(row, allow_nan=True, sort_keys=True)
        text = hashlib.sha256(body.encode()).hexdigest() + "\n" + body + "\n"
        try:
            write_atomically(self.path(row["stage"], row["index"]), text, sync=False)
        except OSError as error:
            raise SamplingError(
                f"simulation {row['index']} cannot be saved in {str(self.folder)!r}: {error.strerror}. Free some "
                "disk and run the campaign again: it goes on where it stopped."
            ) from None

    def read(self, stage: int, index: int) -> dict[str, Any] | None:
        """Return one simulation, None if it is absent; one that is damaged is set aside with a warning."""
        path = self.path(stage, index)
        try:
            digest, _, body = path.read_text(encoding="utf-8").partition("\n")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            digest, body = "", ""
        body = body.removesuffix("\n")
        if hashlib.sha256(body.encode()).hexdigest() == digest:
            row: dict[str, Any] = json.loads(body)
            if (row.get("stage"), row.get("index")) == (stage, index):
                return row
        warnings.warn(f"{path} is damaged; simulation {index} is run again", stacklevel=2)
        with contextlib.suppress(OSError):
            path.replace(path.with_suffix(".damaged"))
        return None


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all."""
    write_atomically(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_atomically(path: Path, text: str, *, sync: bool = True) -> None:
    """Write a file beside its place and move it there.

    Waiting for the disk (`sync`) can take longer than a fit. Files that carry their digest do without it: what a power
    failure leaves of them is recognised and simulated again.
    """
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        Path(partial).chmod(0o644)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
