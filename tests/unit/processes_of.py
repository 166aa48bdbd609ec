"""What still runs below a folder."""

from __future__ import annotations

import time
from pathlib import Path


def running_below(folder: Path) -> list[int]:
    """Processes whose working folder is ``folder`` or below it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").readlink().is_relative_to(folder):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def wait_for(folder: Path, count: int, seconds: float) -> list[int]:
    """Wait until ``count`` processes run below the folder, and return those that do."""
    deadline = time.monotonic() + seconds
    while len(running_below(folder)) != count and time.monotonic() < deadline:
        time.sleep(0.02)
    return running_below(folder)
