"""``bayesexpr de`` and ``bayesexpr report`` as a user runs them, in processes of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from bayesexpr.datasets import BUNDLED, bring
from bayesexpr.names import RESULT_COLUMNS
from bayesexpr.stan.compiler import compile_program
from bayesexpr.stan.program import render
from bayesexpr.stan.toolchain import Toolchain

pytestmark = pytest.mark.needs_stan

COMMAND = [sys.executable, "-m", "bayesexpr"]
GENES = 60
FLAGSHIP = {
    "effects": "spike_slab",
    "dispersion": "trend",
    "size_factors": "estimated",
    "density": "kernel",
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, toolchain: Toolchain) -> Path:
    """A folder with the first 60 genes of the bundled study, samples x genes in TSV; the program is compiled."""
    compile_program(render("negative_binomial_de", FLAGSHIP), toolchain)
    folder = tmp_path_factory.mktemp("study")
    source = bring(BUNDLED, folder)
    counts = pd.read_csv(source / "counts.csv.gz", index_col="gene").iloc[:GENES]
    counts.T.to_csv(folder / "counts.tsv", sep="\t", index_label="sample")
    (folder / "samples.csv").write_bytes((source / "samples.csv").read_bytes())
    return folder


def arguments(*more: str, output: str = "run", draws: int = 60) -> list[str]:
    asked = ["de", "counts.tsv", "samples.csv", "-o", output, "--design", "~ donor + treatment"]
    asked += ["--contrast", "treatment,treated,untreated", "--cores", "2", "--chains", "2", "--warmup", "60"]
    return [*COMMAND, *asked, "--draws", str(draws), *more]


@pytest.fixture(scope="module")
def finished(study: Path) -> subprocess.CompletedProcess[str]:
    """Two contrasts, known truth, and too few draws to be trusted, which ``--strict`` makes an exit code."""
    more = ("--contrast", "donor,D2,D1", "--truth", f"{BUNDLED}/truth.csv.gz", "--strict")
    return subprocess.run(arguments(*more), cwd=study, capture_output=True, text=True, timeout=600, check=False)


def test_a_run_that_is_not_to_be_trusted_is_written_and_exits_with_4(
    study: Path, finished: subprocess.CompletedProcess[str]
) -> None:
    assert finished.returncode == 4, finished.stderr
    assert "Traceback" not in finished.stderr
    assert "Warning" not in finished.stderr
    assert finished.stdout.startswith("Not trustworthy")
    assert "60 expressed genes of 60, 8 samples" in finished.stderr
    assert "treatment: treated vs untreated" in finished.stdout
    run = study / "run"
    assert f"report: {Path('run') / 'report.html'}" in finished.stdout
    names = {file.name for file in run.iterdir()}
    assert {"run.json", "diagnostics.json", "posterior.zarr", "report.html"} <= names
    assert {name for name in names if name.startswith("results")} == {
        "results_treatment_treated_vs_untreated.csv",
        "results_donor_D2_vs_D1.csv",
    }
    assert not [file.name for file in study.iterdir() if file.name.startswith(".")]


def test_the_table_and_the_record_are_whole(study: Path, finished: subprocess.CompletedProcess[str]) -> None:
    run = study / "run"
    for contrast in ("treatment_treated_vs_untreated", "donor_D2_vs_D1"):
        table = pd.read_csv(run / f"results_{contrast}.csv")
        assert tuple(table.columns) == RESULT_COLUMNS
        assert len(table) == GENES
        assert not table.isna().any().any()
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == "done"
    assert record["command"].startswith("bayesexpr de counts.tsv samples.csv")
    assert record["settings"] | {"chains": 2, "warmup": 60, "draws": 60, "seed": 1} == record["settings"]
    assert record["contrasts"] == ["treatment,treated,untreated", "donor,D2,D1"]
    assert set(record["versions"]) >= {"python", "stan", "bayesexpr", "numpy"}
    assert all(seconds >= 0 for seconds in record["seconds"].values())
    diagnostics = json.loads((run / "diagnostics.json").read_text(encoding="utf-8"))
    assert diagnostics["verdict"]["level"] != "trustworthy"


def test_a_report_of_another_contrast_fits_nothing_again(
    study: Path, finished: subprocess.CompletedProcess[str]
) -> None:
    before = {f.name: f.stat().st_mtime_ns for f in (study / "run").iterdir()}
    asked = ["report", "run", "-o", "other.html", "--contrast", "donor,D4,D3", "--lfc", "0.5"]
    made = subprocess.run([*COMMAND, *asked], cwd=study, capture_output=True, text=True, timeout=300, check=False)
    assert made.returncode == 0, made.stderr
    assert [Path(line) for line in made.stdout.splitlines()] == [study / "other.html", study / "other.ipynb"]
    assert "donor: D4 vs D3" in (study / "other.html").read_text(encoding="utf-8")
    assert {f.name: f.stat().st_mtime_ns for f in (study / "run").iterdir()} == before
    wrong = subprocess.run(
        [*COMMAND, "report", "run", "--contrast", "donor,D9,D1"], cwd=study, capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2
    assert "'D9'" in wrong.stderr


def test_a_quiet_run_says_only_its_results_and_takes_the_place_of_the_last(study: Path) -> None:
    for _ in range(2):
        made = subprocess.run(
            arguments("--quiet", "--set", "effects=spike_slab", output="again", draws=30),
            cwd=study,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        assert made.stderr == ""
    assert (study / "again" / "results.csv").is_file()
    assert not [file.name for file in study.iterdir() if file.name.startswith(".")]


def below(folder: Path) -> list[int]:
    """Processes that work in a folder below this one: the chains."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                place = (entry / "cwd").readlink()
            except OSError:
                continue
            if place != folder and place.is_relative_to(folder):
                found.append(int(entry.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="reads /proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_no_run_and_no_process(study: Path, number: signal.Signals, code: int) -> None:
    before = sorted(file.name for file in study.iterdir())
    command = arguments(output="stopped", draws=1_000_000)
    pipe = subprocess.PIPE
    # a background job of a shell ignores SIGINT, and would hand that down
    with subprocess.Popen(
        command,
        cwd=study,
        stdout=pipe,
        stderr=pipe,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    ) as process:
        try:
            deadline = time.monotonic() + 240
            while len(below(study)) < 2 and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
            assert process.poll() is None, process.communicate()[1]
            assert len(below(study)) == 2
            time.sleep(1.0)
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == code
    assert "Traceback" not in said
    assert ("interrupted" in said) == (number == signal.SIGINT)
    assert sorted(file.name for file in study.iterdir()) == before
    deadline = time.monotonic() + 20
    while below(study) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not below(study)
