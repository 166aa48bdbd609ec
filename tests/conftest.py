"""Fixtures that every test folder shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of public data sets beside the checkout; a test that needs it skips where it is absent."""
    folder = Path(os.environ.get("BAYESEXPR_DATA_DIR", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"public data sets are not at {folder}; set BAYESEXPR_DATA_DIR to use another place")
    return folder
