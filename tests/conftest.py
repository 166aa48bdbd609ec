"""Fixtures that every test folder shares."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from bayesexpr.errors import ToolchainError
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.stan.kernels import shared_library
from bayesexpr.stan.program import render

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # a background job of a shell ignores SIGINT and would hand that down to the programs that the tests interrupt
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of public data sets beside the checkout; a test that needs it skips where it is absent."""
    folder = Path(os.environ.get("BAYESEXPR_DATA_DIR", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"public data sets are not at {folder}; set BAYESEXPR_DATA_DIR to use another place")
    return folder


@pytest.fixture(scope="session")
def library() -> Path:
    """The core of the program for differential expression as a shared library; it needs a compiler and no CmdStan."""
    try:
        return shared_library(render("negative_binomial_de", NegativeBinomialDE().options))
    except ToolchainError as error:
        pytest.skip(str(error))
