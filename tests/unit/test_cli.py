"""The command line without Stan: help, listings, and every mistake found before anything is compiled or written."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bayesexpr import de as fitting
from bayesexpr.cli import main
from bayesexpr.models import registry
from bayesexpr.run import RUN_RECORD

SAMPLES = "sample,condition,donor,batch\na,u,1,x\nb,t,1,y\nc,u,2,x\nd,t,2,y\n"
COUNTS = "gene,a,b,c,d\ng1,10,20,30,40\ng2,1,0,0,3\ng3,5,50,6,60\n"
DE = ("de", "counts.csv", "samples.csv", "-o", "run", "--design", "~ condition", "--contrast", "condition,t,u")


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command in a folder that holds a good study; compiling is an error of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main replaces it
    (tmp_path / "counts.csv").write_text(COUNTS)
    (tmp_path / "samples.csv").write_text(SAMPLES)

    def refuse(*_: object) -> None:
        raise RuntimeError("the tool chain was asked for")

    monkeypatch.setattr(fitting, "build", refuse)

    def call(*arguments: str) -> Said:
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        out, err = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return Said(left.value.code, out, err)

    return call


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def assert_refused(run: Run, folder: Path, arguments: tuple[str, ...], message: str) -> str:
    """Exit 2, one clear message without a traceback, and nothing written anywhere below the folder."""
    before = everything(folder)
    said = run(*arguments)
    assert said.code == 2, said
    assert re.search(message, said.err), said.err
    assert said.out == ""
    assert "Traceback" not in said.err
    assert len(said.err) < 800
    assert everything(folder) == before
    return said.err


def test_a_good_study_gets_as_far_as_the_tool_chain(run: Run, tmp_path: Path) -> None:
    """Positive control of everything below: nothing stops it before compiling, and its failure leaves nothing."""
    before = everything(tmp_path)
    with pytest.raises(RuntimeError, match="the tool chain was asked for"):
        main([*DE, "--quiet"])
    assert everything(tmp_path) == before


# bad counts

BAD_COUNTS = [
    ("negative", COUNTS.replace("20", "-20"), r"line 2 of .*row 'g1', column 'b' is '-20'"),
    ("fractional", COUNTS.replace("20", "20.5"), r"line 2 .*'g1'.*'b' is '20.5'.*raw counts"),
    ("missing", COUNTS.replace("20", ""), r"line 2 .*'g1'.*'b' is empty"),
    ("not available", COUNTS.replace("20", "NA"), r"line 2 .*'g1'.*'b' is 'NA'"),
    ("infinite", COUNTS.replace("20", "inf"), r"line 2 .*'g1'.*'b' is 'inf'"),
    ("huge", COUNTS.replace("20", "2147483648"), r"from 0 to 2147483647.*'2147483648'"),
    ("huge written short", COUNTS.replace("20", "1e300"), r"'g1'.*'1e300'"),
    ("words", COUNTS.replace("20", "many"), r"'g1'.*'many'"),
    ("duplicate genes", COUNTS.replace("g2", "g1"), r"unique; 'g1' occurs 2 times"),
    ("duplicate samples", COUNTS.replace("gene,a,b,c,d", "gene,a,b,b,d"), r"unique; 'b' occurs 2 times"),
    ("a short row", COUNTS.replace("g2,1,0,0,3", "g2,1,0,0"), r"line 3 of .* has 4"),
    ("an empty file", "", r"must not be empty"),
    ("only a header", "gene,a,b,c,d\n", r"only a header"),
    ("no separator", "gene\ng1\n", r"tab, comma or semicolon"),
    ("an all-zero sample", "gene,a,b,c,d\ng1,10,0,30,40\ng2,1,0,0,3\n", r"'b'"),
    ("names that do not match", COUNTS.replace("gene,a,b,c,d", "gene,w,x,y,z"), r"'a'.*'w'"),
    ("one name that does not match", COUNTS.replace("gene,a,b,c,d", "gene,a,b,c,D9"), r"'d'.*'D9'"),
    (
        "one more sample",
        COUNTS.replace("d\n", "d,e\n", 1).replace("40\n", "40,9\n").replace("3\n", "3,9\n", 1),
        "line|'e'",
    ),
]


@pytest.mark.parametrize(("table", "message"), [pytest.param(*b[1:], id=b[0]) for b in BAD_COUNTS])
def test_bad_counts(run: Run, tmp_path: Path, table: str, message: str) -> None:
    (tmp_path / "counts.csv").write_text(table)
    said = assert_refused(run, tmp_path, DE, message)
    assert said.startswith("bayesexpr: ")
    assert said.count("\n") == 1


BAD_FILES = [
    ("absent", None, r"counts.csv"),
    ("binary", b"\x00\xff\xfe\x01" * 100, r"counts.csv"),
    ("cut off gzip", gzip.compress(COUNTS.encode())[:40], r"counts.csv"),
]


@pytest.mark.parametrize(("content", "message"), [pytest.param(*b[1:], id=b[0]) for b in BAD_FILES])
def test_bad_files(run: Run, tmp_path: Path, content: bytes | None, message: str) -> None:
    (tmp_path / "counts.csv").unlink()
    if content is not None:
        (tmp_path / "counts.csv").write_bytes(content)
    assert_refused(run, tmp_path, DE, message)


BAD_SAMPLES = [
    ("duplicate samples", SAMPLES.replace("b,t", "a,t"), r"'a'"),
    ("empty", "", r"must not be empty"),
    ("other names", SAMPLES.replace("a,u", "q,u"), r"'q'"),
    ("a missing value", SAMPLES.replace("b,t", "b,"), r"condition.*'?b'?|'b'.*condition"),
    ("one level", SAMPLES.replace(",t,", ",u,"), r"condition"),
]


@pytest.mark.parametrize(("table", "message"), [pytest.param(*b[1:], id=b[0]) for b in BAD_SAMPLES])
def test_bad_sample_tables(run: Run, tmp_path: Path, table: str, message: str) -> None:
    (tmp_path / "samples.csv").write_text(table)
    assert_refused(run, tmp_path, DE, message)


# bad designs and contrasts


def asking(design: str = "~ condition", contrast: str = "condition,t,u", *more: str) -> tuple[str, ...]:
    return ("de", "counts.csv", "samples.csv", "-o", "run", "--design", design, "--contrast", contrast, *more)


def test_a_confounded_design_is_named_in_words(run: Run, tmp_path: Path) -> None:
    said = assert_refused(run, tmp_path, asking("~ batch + condition"), "confounded")
    assert "`batch` and `condition` are confounded" in said
    assert "every sample with batch = 'x' has condition = 'u'" in said
    assert "Drop one" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (asking(contrast="condition,treated,u"), r"'condition' has 't', 'u', not 'treated'"),
        (asking(contrast="condition,t,t"), "must differ"),
        (asking(contrast="dex,t,u"), r"'dex' is not in the design.*'condition'"),
        (asking(contrast="condition,t"), "must be 'factor,level,reference'"),
        (asking("~ dex"), "dex"),
        (asking("condition"), "~"),
        (asking("~ condition +"), "formula"),
        (asking("~ log(donor) + condition"), r"log"),
        (asking("~ 1"), r"term|column"),
        (asking("~ condition", "condition,t,u", "--tested", "donor"), r"'donor' is not among"),
    ],
)
def test_bad_designs(run: Run, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    assert_refused(run, tmp_path, arguments, message)


@pytest.mark.parametrize(
    "formula",
    [
        "~ __import__('os').system('touch canary') + condition",
        "~ open('canary','w') + condition",
        "~ {open('canary','w')} + condition",
        "~ I(open('canary','w')) + condition",
        "~ condition; open('canary','w')",
        "~ C(__import__('pathlib').Path('canary').touch())",
        "~ `condition` + Q(\"x\") + eval('1')",
    ],
)
def test_code_in_a_formula_is_not_run(run: Run, tmp_path: Path, formula: str) -> None:
    assert_refused(run, tmp_path, asking(formula), "formula|column")
    assert not (tmp_path / "canary").exists()


# bad options


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--set", "effects=laplace"), "one of spike_slab, student_t, normal"),
        (("--set", "spikes=2"), "no option 'spikes'"),
        (("--set", "effects"), "NAME=VALUE"),
        (("--set", "density=cuda"), "one of kernel, stan"),
        (("--prior", "mu_alpha=normal(4)"), r"normal takes \(mean, sd\)"),
        (("--prior", "mu_alpha=normal(4, -1)"), "sd"),
        (("--prior", "mu_alpha=normal(4, nan)"), "sd"),
        (("--prior", "mu_alpha=cauchy(0, 1)"), "Families"),
        (("--prior", "mu_alpha=__import__('os')"), "Families"),
        (("--prior", "mu_alpha=half_normal(1)"), "mu_alpha .* is a normal"),
        (("--prior", "beta=normal(0, 1)"), "no prior 'beta'"),
        (("--prior", "sigma_phi=log_normal(0, 1)"), "needs its bound"),
        (("--ci", "95"), "between 0 and 1"),
        (("--lfc", "-1"), "at least 0"),
        (("--rope", "nan"), "at least 0"),
        (("--chains", "0"), "--chains"),
        (("--draws", "many"), "--draws"),
        (("--seed", "-1"), "--seed"),
        (("--size-factors", "quantiles"), "quantiles"),
        (("--size-factors", "counts.csv"), "two columns"),
        (("--lengths", "absent.csv"), "absent.csv"),
        (("--lengths", "samples.csv"), "samples.csv"),
        (("--truth", "absent.csv"), "absent.csv"),
        (("--truth", "samples.csv"), "gene and true_log2fc"),
        (("--fast",), "--fast"),
    ],
)
def test_bad_options(run: Run, tmp_path: Path, more: tuple[str, ...], message: str) -> None:
    assert_refused(run, tmp_path, (*DE, *more), message)


@pytest.mark.parametrize(
    ("rows", "message"),
    [("g1,many", "has 'many' for gene 'g1'"), ("g1,", "has ''"), ("g1,inf", "has 'inf'"), ("g1,1\ng1,2", "has '2'")],
)
def test_bad_truth(run: Run, tmp_path: Path, rows: str, message: str) -> None:
    (tmp_path / "truth.csv").write_text(f"gene,true_log2fc\n{rows}\n")
    assert_refused(run, tmp_path, (*DE, "--truth", "truth.csv"), message)


def test_missing_arguments(run: Run, tmp_path: Path) -> None:
    assert_refused(run, tmp_path, ("de", "counts.csv"), "SAMPLES")
    assert_refused(run, tmp_path, DE[:5], "--design")
    assert_refused(run, tmp_path, ("deseq",), "deseq")
    assert_refused(run, tmp_path, ("report", "absent"), "absent")


# output


def test_a_folder_of_something_else_is_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("years of work")
    assert_refused(run, tmp_path, DE, "is not a run of bayesexpr; it is left as it is")
    assert_refused(run, tmp_path, (*DE[:4], "counts.csv", *DE[5:]), "is not a run")
    assert_refused(run, tmp_path, (*DE[:4], "counts.csv/run", *DE[5:]), "cannot be written")


def test_folders_above_a_refused_run_are_not_left_behind(run: Run, tmp_path: Path) -> None:
    assert_refused(run, tmp_path, (*DE[:4], "a/b/run", *DE[5:], "--set", "effects=x"), "one of spike_slab")


def test_an_earlier_run_survives_a_mistake(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / RUN_RECORD).write_text("{}")
    assert_refused(run, tmp_path, (*DE, "--set", "effects=x"), "one of spike_slab")


def test_a_run_that_is_none_cannot_be_reported(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert_refused(run, tmp_path, ("report", "run"), "is not a finished run")
    for text in ("{", "[1]", "{}", '{"kind": "x"}'):
        (tmp_path / "run" / RUN_RECORD).write_text(text)
        assert_refused(run, tmp_path, ("report", "run"), "is not a finished run")


# listings


def test_help_tells_every_command(run: Run) -> None:
    said = run("--help")
    assert said.code == 0
    for command in ("de", "datasets", "doctor", "models", "report", "stancode"):
        assert re.search(rf"^  {command} ", said.out, re.MULTILINE), command
        each = run(command, "--help")
        assert each.code == 0
        assert "Usage: bayesexpr" in each.out
    assert run("--version").out.strip().endswith("0.1.0")


def test_models_lists_the_ladder(run: Run) -> None:
    described = json.loads(run("models", "--json").out)
    assert [one["name"] for one in described] == list(registry.names())
    flagship = next(one for one in described if one["name"] == "negative_binomial_de")
    assert flagship["options"]["effects"]["default"] == "spike_slab"
    assert {"count", "design"} <= set(flagship["data"])
    assert all(prior["statement"] for prior in flagship["priors"].values())
    assert "negative_binomial_de: " in run("models").out


def test_stancode_prints_a_program(run: Run) -> None:
    said = run("stancode", "negative_binomial_de", "--set", "dispersion=global", "--set", "effects=normal")
    assert said.code == 0
    assert "parameters {" in said.out
    assert "dispersion ~ exponential" in said.out
    assert "genes_lpdf" in said.out
    assert "genes_lpdf" not in run("stancode", "negative_binomial_de", "--set", "density=stan").out
    assert run("stancode", "poisson").code == 2
    assert "there is no program 'poisson'" in run("stancode", "poisson").err


def test_datasets_bring_the_bundled_study(run: Run, tmp_path: Path) -> None:
    assert "simulated_donors: 2,000 genes x 8 samples" in run("datasets").out
    said = run("datasets", "simulated_donors", "-o", "data")
    assert said.code == 0
    assert {f.name for f in (tmp_path / "data" / "simulated_donors").iterdir()} == {
        "counts.csv.gz",
        "samples.csv",
        "truth.csv.gz",
    }
    assert "bayesexpr de data/simulated_donors/counts.csv.gz" in said.out
    assert_refused(run, tmp_path, ("datasets", "airways"), "there is no data set 'airways'")
    assert_refused(run, tmp_path, ("datasets", "simulated_donors", "-o", "counts.csv"), "cannot be written")


def test_a_debugger_gets_the_traceback(run: Run, tmp_path: Path) -> None:
    from bayesexpr.errors import InputError

    with pytest.raises(InputError):
        main([*DE, "--set", "effects=x", "--debug"])


def test_an_interrupt_is_told_in_one_line(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "build", interrupt)
    before = everything(tmp_path)
    said = run(*DE, "--quiet")
    assert said.code == 130
    assert "interrupted" in said.err
    assert everything(tmp_path) == before


def test_as_a_module_and_into_a_closed_pipe(tmp_path: Path) -> None:
    """``python -m bayesexpr`` in another process: exit codes reach the shell, and `| head -1` is no error."""
    python = [sys.executable, "-m", "bayesexpr"]
    found = subprocess.run([*python, "stancode", "nothing"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert found.stderr.startswith("bayesexpr: there is no program")
    reader, writer = os.pipe()
    os.close(reader)
    code = "import os, sys; os.execv(sys.executable, [sys.executable, '-m', 'bayesexpr', 'models', '--json'])"
    piped = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert "Traceback" not in piped.stderr
