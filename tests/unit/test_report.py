"""The report: whole, self-contained, in order, and deaf to names that look like code."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from fake_analysis import HOSTILE, HOSTILE_SAMPLES, content, table

from bayesexpr.posterior import decisions
from bayesexpr.report import ReportContent, figures, posterior_report, top_genes
from bayesexpr.report.gene_table import table_json


def render(it: ReportContent) -> str:
    return posterior_report(it).html()


class Page(HTMLParser):
    """Elements with their attributes, the texts of scripts and styles, and all other text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._open: dict[str, str | None] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = {"tag": tag, **dict(attrs)} if tag in ("script", "style") else None

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.raw.append((self._open, data))
        else:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self._open = None

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def plain() -> str:
    return render(content(300))


@pytest.fixture(scope="module")
def hostile() -> str:
    return render(content(300, hostile=True))


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the figures out where a test is not about them: drawing takes nearly all the time of a report."""
    for name in ("overview", "trust", "changes", "sureness"):
        monkeypatch.setattr(figures, name, lambda *_: [])


def data_of(page: Page) -> list[dict[str, Any]]:
    return [json.loads(text) for attributes, text in page.raw if attributes.get("type") == "application/json"]


def test_sections_are_in_the_order_of_a_readers_questions(plain: str) -> None:
    headings = re.findall(r"<h2>(.*?)</h2>", plain)
    assert headings == [
        "Warnings of the run",
        "What was asked, and of what data",
        "Can it be trusted",
        "What changed",
        "How sure",
        "How to get it again",
    ]


def test_says_what_matters(plain: str) -> None:
    it = content(300)
    text = html.unescape(plain)
    contrast = it.contrasts[0]
    assert it.command in text
    assert it.verdict.summary in text
    assert contrast.rule in text
    assert f"<strong>{contrast.called.sum()} genes are called changed</strong>" in plain
    assert "p-value" in text
    assert "of the 95 % intervals hold the truth" in text
    for status, count in it.verdict.status_counts.items():
        assert re.search(rf'<th scope="row">{status}</th><td>{count:,}</td>', plain)


def test_is_one_file_that_asks_for_nothing(plain: str) -> None:
    page = Page(plain)
    for _, attributes in page.elements:
        for name in ("src", "href", "action", "data", "srcset", "style"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/svg+xml;base64,")), (name, value)
    assert "@import" not in plain
    assert "url(" not in plain


def test_policy_allows_this_script_and_style_and_no_other(plain: str) -> None:
    page = Page(plain)
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    run = [(a["tag"], text) for a, text in page.raw if a.get("type") != "application/json"]
    assert [tag for tag, _ in run] == ["style", "script"]
    for tag, text in run:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_hostile_names_come_out_as_text(plain: str, hostile: str) -> None:
    page, calm = Page(hostile), Page(plain)
    for tag in ("script", "svg", "img", "style", "iframe"):
        assert len(page.all(tag)) == len(calm.all(tag)), tag
    assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
    genes = data_of(page)[0]["rows"]["gene"]
    assert set(HOSTILE) <= set(genes)
    for name in HOSTILE_SAMPLES:
        assert name in page.text  # samples, verbatim: {{7*7}} is not 49
    assert "49" not in [cell.strip() for cell in page.text.splitlines()]
    for attributes, text in page.raw:
        if attributes.get("type") == "application/json":
            assert not set("<>&\u2028") & set(text)


def test_figures_are_images_that_parse_and_have_words(hostile: str) -> None:
    images = Page(hostile).all("img")
    assert len(images) >= 8
    for image in images:
        assert len(image["alt"] or "") > 30
        root = ElementTree.fromstring(base64.b64decode((image["src"] or "").split(",")[1]))
        tags = {element.tag.split("}")[1] for element in root.iter()}
        assert "script" not in tags
    assert "基因表达" in base64.b64decode((images[0]["src"] or "").split(",")[1]).decode()


def test_headings_tables_and_regions_serve_a_screen_reader(plain: str) -> None:
    page = Page(plain)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert len(page.all("table")) == len(page.all("caption"))
    assert page.all("html")[0]["lang"] == "en"
    assert "@media print" in plain
    anchors = {a["href"] for a in page.all("a")}
    ids = {f"#{attributes['id']}" for _, attributes in page.elements if "id" in attributes}
    assert anchors <= ids


@pytest.mark.usefixtures("no_figures")
def test_levels_of_trust_have_their_own_mark() -> None:
    it = content(200)
    marks = {}
    for level in ("trustworthy", "use with care", "not trustworthy"):
        page = render(dataclasses.replace(it, verdict=dataclasses.replace(it.verdict, level=level)))
        marks[level] = re.search(r'class="verdict ([\w-]+)"><span class="badge" aria-hidden="true">(.)<', page).groups()  # type: ignore[union-attr]
    assert len(set(marks.values())) == 3


def test_what_is_missing_is_left_out() -> None:
    it = content(200, simulated=False)
    contrast = dataclasses.replace(it.contrasts[0], curve=None, called=np.zeros(200, dtype=bool))
    bare = dataclasses.replace(
        it, contrasts=(contrast,), groups=None, log_counts=None, energy=None, dispersion_trend=None, warnings=()
    )
    page = render(bare)
    assert "0 genes are called changed" in page
    assert "known truth" not in page
    assert "Warnings of the run" not in page


def test_table_in_the_page_holds_every_answered_gene_to_four_digits() -> None:
    results, _ = table(400)
    called = decisions.calls(results["lfdr"]).called
    text, listed = table_json(results, called, 1.0, 10**7)
    data = json.loads(text)
    answered = results[results["lfdr"].notna()].sort_values("lfdr", kind="stable")
    assert listed == len(answered)
    assert data["rows"]["gene"] == list(answered["gene"])
    np.testing.assert_allclose(data["rows"]["log2FoldChange"], answered["log2FoldChange"], rtol=5e-4)
    assert sum(data["called"]) == called.sum()
    assert [data["statuses"][i] for i in data["rows"]["status"]] == list(answered["status"])


@pytest.mark.usefixtures("no_figures")
def test_table_too_large_for_the_page_keeps_the_surest_genes() -> None:
    results, _ = table(2000)
    called = decisions.calls(results["lfdr"]).called
    text, listed = table_json(results, called, 1.0, 40_000)
    assert len(text) <= 40_000
    assert 100 < listed < 1000
    assert json.loads(text)["rows"]["gene"] == list(results.sort_values("lfdr", kind="stable")["gene"].head(listed))
    it = content(2000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bayesexpr.report.posterior.TABLE_BYTES", 40_000)
        assert f"The {listed} surest of " in render(it)


def test_whole_annotation_stays_below_ten_megabytes(tmp_path: Path) -> None:
    path = posterior_report(content(64_102, contrasts=1, simulated=False)).write(tmp_path / "report.html")
    assert path.stat().st_size < 10e6


@pytest.mark.usefixtures("no_figures")
def test_two_contrasts_have_a_table_each() -> None:
    assert len(data_of(Page(render(content(200, contrasts=2))))) == 2


def test_top_genes_are_called_ones_by_effect_then_the_surest() -> None:
    results, _ = table(500)
    called = decisions.calls(results["lfdr"]).called
    top = top_genes(results, called, called.sum() + 5)
    effects = top["log2FoldChange"].abs().to_numpy()[: called.sum()]
    assert (np.diff(effects) <= 0).all()
    assert (np.diff(top["lfdr"].to_numpy()[called.sum() :]) >= 0).all()
    assert top["lfdr"].notna().all()


def test_where_nothing_is_called_the_surest_genes_come_first() -> None:
    results, _ = table(50)
    top = top_genes(results, np.zeros(50, dtype=bool), 5)
    assert top["gene"].tolist() == results.sort_values("lfdr", kind="stable")["gene"].head(5).tolist()
    assert top_genes(results.iloc[:0], np.zeros(0, dtype=bool)).empty


def test_a_failure_leaves_the_old_report_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    it = content(100)

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="no space"):
        posterior_report(it).write(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    posterior_report(it).write(path)
    assert path.read_text().startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.setattr(figures.plots, "plot_ma", fail)
    before = path.read_text()
    with pytest.raises(OSError, match="no space"):
        posterior_report(it).write(path)
    assert path.read_text() == before


def test_same_content_gives_the_same_file() -> None:
    it = content(150)
    assert render(it) == render(it)
