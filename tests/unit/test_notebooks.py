"""Notebooks of the package: they run as they are shipped, hold no output, and become pages that ask for nothing.

A notebook that is added needs a row in `RUNS`: the parameters with which it is executed here, small enough for a few
seconds. `execute` and `notebook_page` of `bayesexpr.report.notebook` are the same ones that ``bayesexpr report`` uses.
A notebook that fits something belongs into tests/stan instead, where a tool chain is sure to be: name it in
`ELSEWHERE`, execute it there, and give the result to `notebook_checks.check_executed`.
"""

from __future__ import annotations

import html
import os
import re
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import fake_calibration as fake
import nbformat
import pytest
from fake_analysis import HOSTILE
from fake_run import CONTRASTS, saved_run
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_checks import check_executed, check_shipped

import bayesexpr as bx
from bayesexpr.calibration.backend import FunctionBackend
from bayesexpr.calibration.campaign import run_campaign
from bayesexpr.errors import DesignError, InputError
from bayesexpr.report import notebook as notebooks


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_run(tmp_path_factory.mktemp("runs") / "run", tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign of an inference that is too sure of itself: it fails."""
    folder = tmp_path_factory.mktemp("campaigns") / "narrow"
    run_campaign(fake.SCENARIO, FunctionBackend(fake.narrow), simulations=60, seed=1, folder=folder)
    return folder


RUNS = {"posterior_report": ("RUN", "run"), "calibration_report": ("CAMPAIGN", "campaign")}
"""Parameter and fixture of every notebook that is executed here."""
ELSEWHERE = {"tour"}  # tests/stan/test_tour.py


def test_every_notebook_is_executed_somewhere() -> None:
    assert set(notebooks.notebook_names()) == {*RUNS, *ELSEWHERE}


@pytest.mark.parametrize("name", notebooks.notebook_names())
def test_notebooks_are_shipped_clean(name: str) -> None:
    check_shipped(notebooks.read_notebook(name))


@pytest.mark.parametrize("name", RUNS)
def test_the_page_of_a_notebook_says_what_its_sections_say(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    parameter, fixture = RUNS[name]
    folder = request.getfixturevalue(fixture)
    page, kept = notebooks.notebook_report(name, {parameter: str(folder)}, tmp_path / "r.html", timeout=120)
    assert kept == tmp_path / "r.ipynb"
    made = page.read_text(encoding="utf-8")
    assert made == check_executed(nbformat.read(kept, as_version=4))
    thing = bx.load(folder) if fixture == "run" else bx.calibration.load(folder)
    for section in thing.sections().values():
        assert section.body in made
    assert made.count("<style>") == 1
    assert made.count("<script>") == 1
    assert (
        f"{parameter} = {html.escape(repr(str(folder)))}" in html.unescape(made).replace("&#39;", "'")
        or parameter in made
    )
    assert {f.name for f in tmp_path.iterdir()} == {"r.html", "r.ipynb"}


def test_a_run_is_reported_as_it_was_asked(run: Path) -> None:
    """Both contrasts, at the run's thresholds, and the truth of a simulated study."""
    fit = bx.load(run)
    first, second = fit.asked()
    assert [first.contrast.label, second.contrast.label] == ["group: c vs a", "group: b vs a"]
    assert (first.lfc_threshold, first.ci) == (0.5, 0.9)
    (other,) = fit.asked(["batch,y,x"], lfc_threshold=2.0)
    assert (other.contrast.label, other.lfc_threshold, other.ci) == ("batch: y vs x", 2.0, 0.9)
    sections = fit.sections()
    assert list(sections) == ["summary", "asked", "trust", "changed", "sure", "again"]
    assert "Against the known truth" in sections["sure"].body
    assert "Against the known truth" not in fit.sections(["batch,y,x"])["sure"].body
    assert len(CONTRASTS) == sections["changed"].body.count('class="contrast"')
    assert "counts that the fit would make again" in sections["changed"].body


def test_a_section_brings_style_and_script_into_a_notebook(run: Path) -> None:
    section = bx.load(run).sections()["changed"]
    shown = section._repr_html_()
    assert shown.startswith("<style>")
    assert shown.rstrip().endswith("</script>")
    assert len(repr(section)) < 100
    assert HOSTILE[0] not in shown


def test_a_failed_campaign_says_so_first(campaign: Path) -> None:
    found = bx.calibration.load(campaign)
    sections = found.sections()
    assert found.verdict.status == "FAIL"
    assert '<p class="verdict fail">' in sections["summary"].body
    assert "likely too narrow" in html.unescape(sections["trust"].body)
    rows = re.findall(r'<tr class="alarm"><th scope="row" title="(\w+)">', sections["trust"].body)
    assert rows[0] == found.weakest


def test_a_campaign_is_loaded_as_it_was(campaign: Path, tmp_path: Path) -> None:
    kept = run_campaign(fake.SCENARIO, FunctionBackend(fake.narrow), simulations=60, seed=1, folder=campaign)
    back = bx.calibration.load(campaign)
    assert str(back.verdict) == str(kept.verdict)
    assert (back.table.rank == kept.table.rank).all()
    assert back.identity == kept.identity
    with pytest.raises(InputError, match="is not a campaign"):
        bx.calibration.load(tmp_path)


def test_an_unfinished_campaign_is_refused(tmp_path: Path) -> None:
    run_campaign(fake.SCENARIO, FunctionBackend(fake.exact), simulations=20, seed=1, folder=tmp_path)
    next((tmp_path / "fits").glob("0-000007*")).unlink()
    with pytest.raises(InputError, match="19 of 20 simulations are done"):
        bx.calibration.load(tmp_path)


def test_errors_of_the_package_pass_through_the_notebook(run: Path, tmp_path: Path) -> None:
    asked = {"RUN": str(run), "CONTRASTS": ["group,z,a"]}
    with pytest.raises(DesignError, match="'z'"):
        notebooks.notebook_report("posterior_report", asked, tmp_path / "r.html", timeout=120)
    assert not list(tmp_path.iterdir())


def code(text: str, **parameters: Any) -> Any:
    cells = [new_code_cell("A = 1", metadata={"tags": ["parameters"]}), new_code_cell(text)]
    return notebooks.execute(new_notebook(cells=cells), parameters, timeout=parameters.pop("timeout", 60))


def test_cells_that_fail_or_take_too_long_are_errors() -> None:
    with pytest.raises(notebooks.NotebookError, match="ZeroDivisionError: division by zero"):
        code("A / 0")
    book = new_notebook(cells=[new_code_cell("import time; time.sleep(60)")])
    with pytest.raises(notebooks.NotebookError, match="longer than 1 s"):
        notebooks.execute(book, timeout=1)


def test_an_interrupt_ends_the_notebook_and_its_process(tmp_path: Path) -> None:
    """The cell would sleep for a minute; once it says that it runs, this process gets what Ctrl-C sends."""
    mark = tmp_path / "pid"
    text = f"import os, time, pathlib\npathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\ntime.sleep(60)"

    def interrupt() -> None:
        while not (mark.is_file() and mark.read_text()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    waiting = threading.Thread(target=interrupt)
    waiting.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        notebooks.execute(new_notebook(cells=[new_code_cell(text)]), timeout=60)
    waiting.join()
    assert time.monotonic() - start < 50
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_parameters_come_below_their_defaults_and_must_exist() -> None:
    book = code("print(A)", A=["it's", None])
    assert book.cells[1].metadata["tags"] == ["injected-parameters"]
    assert book.cells[2].outputs[0].text == '["it\'s", None]\n'
    with pytest.raises(InputError, match="no parameter 'B'"):
        code("1", B=2)


def test_a_long_temporary_folder_holds_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("long" * 30)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    book = notebooks.execute(new_notebook(cells=[new_code_cell("6 * 7")]), timeout=60)
    assert book.cells[0].outputs[0].data["text/plain"] == "42"


def test_a_file_beside_the_notebook_is_not_taken_for_a_module(tmp_path: Path) -> None:
    (tmp_path / "statistics.py").write_text("raise SystemExit('a file of the folder was run')")
    book = new_notebook(cells=[new_code_cell("import statistics; statistics.mean([1, 3])")])
    assert notebooks.execute(book, folder=tmp_path, timeout=60).cells[0].outputs[0].data["text/plain"] == "2"


def test_what_a_notebook_shows_is_safe_in_its_page() -> None:
    style = "<style scoped>th { color: red }</style>"
    frame = f'<div>{style}<table border="1" class="dataframe"><tr style="x: y"></table></div>'
    outputs = [
        new_output("stream", name="stdout", text=HOSTILE[0]),
        new_output("execute_result", data={"text/plain": HOSTILE[1]}),
        new_output("display_data", data={"text/html": frame, "text/plain": "table"}),
        new_output("display_data", data={"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"}),
        new_output("error", ename="E", evalue=HOSTILE[2], traceback=[]),
        new_output("display_data", data={"application/javascript": "alert(1)"}),
    ]
    book = new_notebook(
        metadata={"title": HOSTILE[0]},
        cells=[
            new_markdown_cell(f"# Title\n\n{HOSTILE[1]} [x](javascript:alert(1)) `{HOSTILE[0]}`"),
            new_markdown_cell("for the notebook", metadata={"tags": ["notebook-only"]}),
            new_code_cell(HOSTILE[0], outputs=outputs),
        ],
    )
    page = notebooks.notebook_page(book)
    assert page.count("<script>") == 1
    assert "<svg" not in page
    assert "<img src=x" not in page
    assert 'href="javascript' not in page
    assert "scoped" not in page
    assert "alert(1)</" not in page.replace("alert(1))", "")
    assert '<table class="dataframe"><tr></table>' in page
    assert 'src="data:image/png;base64,iVBORw0KGgo="' in page
    assert "for the notebook" not in page
    assert html.unescape(page).count(HOSTILE[0]) == 4  # title, text, code and stream


def test_places_that_cannot_hold_a_report_are_refused(tmp_path: Path) -> None:
    for place in (tmp_path / "absent" / "r.html", tmp_path, tmp_path / "r.ipynb"):
        with pytest.raises(InputError, match="report"):
            notebooks.notebook_report("posterior_report", {}, place)
    with pytest.raises(InputError, match="Name a file, or one of calibration_report, posterior_report"):
        notebooks.read_notebook("no_such_notebook")


def test_without_jupyter_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nbformat", None)
    with pytest.raises(InputError, match=r"bayesexpr\[notebook\]"):
        notebooks.read_notebook("posterior_report")
