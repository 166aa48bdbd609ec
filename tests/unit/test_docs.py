"""The documentation: it builds without a warning, its Python runs, its commands exist.

Pages whose Python needs Stan are run by tests/stan/test_docs_examples.py.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from docs_pages import ROOT, blocks, run_page
from fake_run import saved_run

import bayesexpr as bx
from bayesexpr.cli import _COMMANDS, app
from bayesexpr.models import registry

PAGES = sorted(str(p.relative_to(ROOT)) for p in ROOT.rglob("*.md") if not {"models", "_build"} & set(p.parts))
WITH_STAN = {"start.md", "how_to/calibrating.md"}
HERE = [page for page in PAGES if blocks(page, "python") and page not in WITH_STAN]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages name: a run, a count table, quantifications, an AnnData file."""
    run = saved_run(tmp_path / "run", tmp_path / "scratch")
    record = (run / "run.json").read_text(encoding="utf-8")
    for old, new in (("group,c,a", "condition,treated,control"), ("group,b,a", "condition,b,control")):
        record = record.replace(old, new)
    for old, new in (("group", "condition"), ('"a"', '"control"'), ('"c"', '"treated"')):
        record = record.replace(old, new)
    (run / "run.json").write_text(record, encoding="utf-8")
    rng = np.random.default_rng(1)
    samples = [f"s{i}" for i in range(1, 9)]
    table = pd.DataFrame(
        {
            "donor": np.repeat(["d1", "d2", "d3", "d4"], 2),
            "line": np.repeat(["x", "y"], 4),
            "treatment": ["treated", "untreated"] * 4,
            "condition": ["treated", "control"] * 4,
        },
        index=pd.Index(samples, name="sample"),
    )
    table.to_csv(tmp_path / "samples.csv")
    genes = [f"g{i}" for i in range(6)]
    counts = pd.DataFrame(rng.negative_binomial(5, 0.05, (8, 6)), index=table.index, columns=genes)
    counts.to_csv(tmp_path / "counts.csv")
    for sample in samples:
        (tmp_path / "quants" / sample).mkdir(parents=True)
        rows = "".join(f"t{i}\t1000\t{800 + i}.0\t10.0\t{rng.integers(50)}.0\n" for i in range(6))
        head = "Name\tLength\tEffectiveLength\tTPM\tNumReads\n"
        (tmp_path / "quants" / sample / "quant.sf").write_text(head + rows)
    (tmp_path / "tx2gene.csv").write_text("transcript,gene\n" + "".join(f"t{i},g{i // 2}\n" for i in range(6)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", HERE)
def test_the_python_of_a_page_runs(page: str, study: Path) -> None:
    if page == "how_to/anndata.md":
        anndata = pytest.importorskip("anndata", reason="the page is about AnnData")
        fit = bx.load("run")
        genes = pd.DataFrame(index=list(fit.data.genes))
        adata = anndata.AnnData(fit.data.counts.astype(float), obs=fit.data.sample_table, var=genes)
        adata.layers["counts"] = fit.data.counts
        adata.write_h5ad("study.h5ad")
    names = run_page(page, study)
    assert names


def test_every_page_with_python_is_run_somewhere() -> None:
    assert set(PAGES) > WITH_STAN
    assert len(HERE) >= 5


def commands(page: str) -> list[list[str]]:
    lines = [line for block in blocks(page, "bash") for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("bayesexpr ")]


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_commands_of_a_page_exist_with_their_options(page: str) -> None:
    for _, name, *arguments in commands(page):
        module = importlib.import_module(_COMMANDS[name])
        command: click.Command = getattr(module, name)
        with command.make_context(name, list(arguments), parent=click.Context(app)):
            pass


def test_a_wrong_option_in_a_page_would_be_seen() -> None:
    """Negative control."""
    command = importlib.import_module(_COMMANDS["de"]).de
    with pytest.raises(click.UsageError):
        command.make_context("de", ["counts.csv", "samples.csv", "--desing", "~ x"])


def test_the_model_reference_has_every_program_and_all_it_says() -> None:
    sys.path.insert(0, str(ROOT))
    try:
        pages = importlib.import_module("registry_pages")
    finally:
        sys.path.remove(str(ROOT))
    for name in registry.names():
        described = registry.describe(name)
        text = pages.model_page(described)
        for key in (*described["data"], *described["parameters"], *described["options"], *described["priors"]):
            assert f"`{key}`" in text, (name, key)
        cells = [line for line in text.splitlines() if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in cells}) <= 2


def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    missing = [name for name in ("sphinx", "myst_parser", "numpydoc", "furo") if importlib.util.find_spec(name) is None]
    if missing and "CI" not in os.environ:
        pytest.skip(f"the documentation needs the extra `docs`: {', '.join(missing)} are not installed")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-d", str(tmp_path / "trees")]
    done = subprocess.run([*command, str(ROOT), str(tmp_path / "html")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    index = (tmp_path / "html" / "api.html").read_text(encoding="utf-8")
    for name in ("bayesexpr.fit_de", "bayesexpr.DEFit.contrast", "bayesexpr.calibration.sbc"):
        assert f'id="{name}"' in index
