"""Pages: sections of safe HTML that a notebook shows one by one and a file holds together.

A page needs nothing but itself: no network, no other file. Its policy allows the one style and the one script of this
package, by their digests, and images inside the page; whatever else a name might smuggle in is refused by the browser.
"""

from __future__ import annotations

import base64
import hashlib
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes
    ----------
    key : str
        Its name: ``"summary"``, ``"asked"``, ``"trust"``, ``"changed"``, ``"sure"`` or ``"again"``.
    body : str
        HTML in which everything that came from data is escaped.
    """

    key: str
    body: str

    def _repr_html_(self) -> str:
        """Show the section in a notebook, with the style and the script that it needs."""
        return f'{style_tag()}<div class="bx">{self.body}</div>{script_tag()}'

    def __repr__(self) -> str:
        return f"<section {self.key!r} of a report, {len(self.body)} characters of HTML>"


class Report(Mapping[str, Section]):
    """The sections of a report, each made when it is first asked for.

    Parameters
    ----------
    title : str
        Plain text.
    makers : mapping
        Key of every section, in order, to a function that makes its HTML.
    """

    def __init__(self, title: str, makers: Mapping[str, Callable[[], str]]) -> None:
        self.title = title
        self._makers = dict(makers)
        self._made: dict[str, Section] = {}

    def __getitem__(self, key: str) -> Section:
        if key not in self._made:
            self._made[key] = Section(key, self._makers[key]())
        return self._made[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    def __repr__(self) -> str:
        return f"<report {self.title!r} with sections {', '.join(self)}>"

    def html(self) -> str:
        """Return the whole report as one page."""
        return page(self.title, "\n".join(section.body for section in self.values()))

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the whole report as one HTML file, which appears whole or not at all.

        Returns
        -------
        pathlib.Path
            Absolute path of the file.
        """
        return write_text(path, self.html())


def page(title: str, body: str) -> str:
    """Put safe HTML into a page of its own; `title` is plain text."""
    return environment().get_template("page.html").render(
        title=title, body=Markup(body), style=Markup(asset("report.css")), script=Markup(asset("report.js")),
        policy=_policy(asset("report.css"), asset("report.js")),
    )  # fmt: skip


@cache
def environment() -> Environment:
    """Return the one environment of all templates: everything is escaped, and a missing name is an error."""
    made = Environment(
        loader=PackageLoader("bayesexpr.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(number=number, count=_count, rough=_rough, cell=_cell, quoted=_quoted)
    return made


@cache
def asset(name: str) -> str:
    """Return a file of the templates as text."""
    return resources.files("bayesexpr.report").joinpath("templates", name).read_text(encoding="utf-8")


def style_tag() -> str:
    """Return the style as an element."""
    return f"<style>{asset('report.css')}</style>"


def script_tag() -> str:
    """Return the script as an element."""
    return f"<script>{asset('report.js')}</script>"


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write a file beside its place and move it there; what cannot be encoded becomes a question mark.

    Returns
    -------
    pathlib.Path
        Absolute path of the file.
    """
    target = Path(path).absolute()
    temporary = target.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(text.encode("utf-8", errors="replace"))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return target


def number(value: object) -> str:
    """Write a number with four significant digits; anything else as it is."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        return "" if value is None else str(value)
    given = float(value)
    if not np.isfinite(given):
        return "–"
    if isinstance(value, int | np.integer) or abs(given) >= 1000:
        return f"{given:,.0f}"
    return f"{given:.3g}" if abs(given) < 1 else f"{given:.4g}"


def _policy(style: str, script: str) -> str:
    """Content security policy: nothing from anywhere but the images inside the page and these two texts."""

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")

    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest(style)}'; "
        f"script-src 'sha256-{digest(script)}'; base-uri 'none'; form-action 'none'"
    )


def _cell(value: object, kind: str) -> str:
    """Write a value of a gene table with the digits of its column, as the page's script does."""
    if kind == "text" or not isinstance(value, float):
        return str(value)
    if not np.isfinite(value):
        return "–"
    if kind == "log2":
        return f"{value:.2f}"
    if kind == "count":
        return f"{value:.1f}" if value < 100 else f"{value:,.0f}"
    return f"{value:.3f}" if value >= 0.001 else f"{value:.2e}".replace("e-0", "e-")


def _rough(value: float) -> str:
    """Write a number with two significant digits: an expected number of genes deserves no more."""
    return f"{float(f'{value:.2g}'):g}" if value < 1000 else f"{value:,.0f}"


def _count(value: Any) -> str:
    return f"{value:,}"


def _quoted(text: str) -> Markup:
    """Show what stands between backticks as code; everything else, and what is in there, is escaped."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else escape(p) for i, p in enumerate(parts))
