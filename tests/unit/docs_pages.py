"""The documentation's pages: their blocks of code, and how those are run as a reader would run them."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2] / "docs"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    """Blocks of one language of a page, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [code for found, code in _BLOCK.findall(text) if found == language]


def run_page(page: str, folder: Path) -> dict[str, Any]:
    """Run all Python of a page as one script, in the current folder; return its names."""
    script = folder / f"{Path(page).stem}_page.py"
    script.write_text("\n".join(blocks(page, "python")), encoding="utf-8")
    try:
        return runpy.run_path(str(script), run_name="__page__")
    finally:
        if "matplotlib.pyplot" in sys.modules:  # what a reader would leave open, later tests need not find
            sys.modules["matplotlib.pyplot"].close("all")
