"""Reports in a real browser: what a reader does with them works, no name runs, nothing is asked of the network."""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fake_calibration as fake
import pytest
from fake_analysis import HOSTILE, content

import bayesexpr as bx
from bayesexpr.calibration.backend import FunctionBackend
from bayesexpr.calibration.campaign import run_campaign
from bayesexpr.report import posterior_report

CHROMIUM = os.environ.get("BAYESEXPR_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
api = pytest.importorskip("playwright.sync_api", reason="browser tests need the extra `browser`")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine; BAYESEXPR_CHROMIUM names another"
)

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@dataclass
class Opened:
    """A page with everything that it said on the console and asked for."""

    page: Any
    file: Path
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def check_quiet(self) -> None:
        assert self.console == []
        assert [r for r in self.requests if not r.startswith("data:")] == [self.file.as_uri()]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    failed = run_campaign(fake.SCENARIO, FunctionBackend(fake.narrow), simulations=40, seed=1, replicate=False)
    data = {"count": [500, 20], "total": [20_000_000, 1_000_000]}
    program = bx.fit("beta_binomial", data, method="exact", draws=200, seed=1)
    return {
        "program": program.report(folder / "program.html"),
        "posterior": posterior_report(content(300, hostile=True)).write(folder / "posterior.html"),
        "calibration": failed.report(folder / "calibration.html"),
    }


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


def open_page(browser: Any, file: Path, viewport: dict[str, int]) -> Opened:
    context = browser.new_context(viewport=viewport, device_scale_factor=1)
    opened = Opened(context.new_page(), file)
    opened.page.set_default_timeout(20_000)
    opened.page.on("console", lambda message: opened.console.append(message.text))
    opened.page.on("pageerror", lambda error: opened.console.append(str(error)))
    opened.page.on("request", lambda request: opened.requests.append(request.url))
    opened.page.goto(file.as_uri())
    return opened


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def posterior(browser: Any, pages: dict[str, Path], request: pytest.FixtureRequest) -> Iterator[Opened]:
    opened = open_page(browser, pages["posterior"], request.param)
    yield opened
    opened.page.context.close()


def column(opened: Opened, label: str) -> list[float]:
    """Numbers of a column of the gene table as they are shown."""
    labels = opened.page.locator(".genes thead th").all_inner_texts()
    place = next(i for i, text in enumerate(labels) if text.startswith(label))
    return [
        float(row.split("\t")[place].replace(",", ""))
        for row in opened.page.locator(".genes tbody tr").all_inner_texts()
    ]


def test_a_reader_sorts_searches_and_points(posterior: Opened) -> None:
    page = posterior.page
    rows = page.locator(".genes tbody tr")
    assert rows.count() == 50
    page.locator(".genes thead button", has_text="log2 FC").click()
    effects = column(posterior, "log2 FC")
    assert effects == sorted(effects, reverse=True)
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("log2 FC")
    page.locator(".genes thead button", has_text="log2 FC").press("Enter")  # by the keyboard, the other way
    effects = column(posterior, "log2 FC")
    assert effects == sorted(effects)
    page.locator(".next").click()
    assert page.locator(".page").inner_text().startswith("page 2 of")

    search = page.locator(".search")
    for text, found in (("onload", [HOSTILE[1]]), ("基因", ["基因表达"]), ("no such gene", [])):
        search.fill(text)
        assert page.locator(".genes tbody th").all_text_contents() == found
    assert page.locator(".found").inner_text() == "0 genes"
    search.fill("")
    page.locator(".only").check()
    called = int(page.locator(".found").inner_text().split()[0])
    assert page.locator(".genes tbody tr.called").count() == min(50, called) > 0

    canvas = page.locator("canvas.volcano")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    tip = page.locator(".tip")
    for step in range(1, 40):  # down the middle, where the unchanged genes are
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + step * box["height"] / 40)
        if tip.is_visible():
            break
    assert "log2 fold change" in tip.inner_text()
    name = tip.inner_text().split("\n")[0]
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + step * box["height"] / 40)
    assert search.input_value() == name
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] - 30)
    assert not tip.is_visible()
    posterior.check_quiet()


def test_no_name_runs_and_the_page_fits_its_window(posterior: Opened) -> None:
    page = posterior.page
    assert page.title() == HOSTILE[0]
    assert page.locator("h1").inner_text() == HOSTILE[0]
    shown = page.locator("table").first.inner_text()
    assert "{{7*7}}" in shown
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    broken = page.evaluate("[...document.images].filter((i) => !i.complete || !i.naturalWidth).length")
    assert broken == 0
    posterior.check_quiet()


STRUCTURE = """() => ({
  headings: [...document.querySelectorAll('h1,h2,h3,h4')].map((h) => Number(h.tagName[1])),
  mute: [...document.images].filter((i) => i.alt.length < 30).length,
  captionless: [...document.querySelectorAll('table')].filter((t) => !t.caption?.textContent.trim()).length,
  headless: [...document.querySelectorAll('table')].filter((t) => !t.querySelector('th')).length,
  unlabelled: [...document.querySelectorAll('input')].filter((i) => !i.labels.length).length,
  small: [...document.querySelectorAll('button')].filter((b) => b.offsetParent && !b.textContent.trim()).length,
  broken: [...document.images].filter((i) => !i.complete || !i.naturalWidth).length,
  wide: document.documentElement.scrollWidth > window.innerWidth,
})"""


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("kind", ["posterior", "calibration", "program"])
def test_every_page_has_headings_captions_and_words_for_its_figures(
    browser: Any, pages: dict[str, Path], kind: str, viewport: dict[str, int]
) -> None:
    opened = open_page(browser, pages[kind], viewport)
    found = opened.page.evaluate(STRUCTURE)
    levels = found.pop("headings")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert not any(found.values()), found
    opened.check_quiet()
    opened.page.context.close()


def test_a_page_without_words_would_be_seen(browser: Any, tmp_path: Path) -> None:
    """Negative control."""
    (tmp_path / "bare.html").write_text(
        "<h1>x</h1><h3>y</h3><img src='data:,'><table><tr><td>1</td></tr></table><input>"
    )
    opened = open_page(browser, tmp_path / "bare.html", PHONE)
    found = opened.page.evaluate(STRUCTURE)
    assert found["headings"] == [1, 3]
    assert [found[key] for key in ("mute", "captionless", "headless", "unlabelled", "broken")] == [1] * 5
    opened.page.context.close()


def test_a_script_that_got_into_the_page_would_be_refused(browser: Any, pages: dict[str, Path], tmp_path: Path) -> None:
    """Negative control of the policy, and of what listens to the console."""
    text = pages["posterior"].read_text(encoding="utf-8")
    bad = "<script>document.title = 'owned'</script><img src='http://127.0.0.1:9/x' alt=''></main>"
    (tmp_path / "bad.html").write_text(text.replace("</main>", bad), encoding="utf-8")
    opened = open_page(browser, tmp_path / "bad.html", DESKTOP)
    assert opened.page.title() == HOSTILE[0]
    assert any("Content Security Policy" in line for line in opened.console)
    with pytest.raises(AssertionError):
        opened.check_quiet()
    opened.page.context.close()


def test_print_has_everything_but_the_controls(browser: Any, pages: dict[str, Path], tmp_path: Path) -> None:
    opened = open_page(browser, pages["posterior"], DESKTOP)
    page = opened.page
    page.emulate_media(media="print")
    assert not page.locator(".explorer").is_visible()
    assert page.locator("#again").is_visible()
    closed = page.locator("details:not([open])")  # a heading without what it opens would be of no use on paper
    assert closed.count() > 0
    assert not any(one.is_visible() for one in closed.all())
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    pdf = (tmp_path / "report.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert 4 <= len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf)) <= 20
    opened.page.context.close()


def test_the_quantities_of_a_campaign_are_sorted(browser: Any, pages: dict[str, Path]) -> None:
    opened = open_page(browser, pages["calibration"], PHONE)
    page = opened.page
    table = page.locator("table.sortable")
    names = table.locator("tbody th").all_inner_texts()
    table.locator("thead button", has_text="quantity").click()
    assert table.locator("tbody th").all_inner_texts() == sorted(names)
    table.locator("thead button", has_text="contraction").click()
    found = [
        float(v) for v in table.locator("tbody td:nth-child(8)").evaluate_all("c => c.map((e) => e.dataset.value)")
    ]
    assert found == sorted(found)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    opened.check_quiet()
    page.context.close()
