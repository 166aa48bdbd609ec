"""The model reference: one page for every program, written from the registry before each build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesexpr.models import registry

if TYPE_CHECKING:
    from sphinx.application import Sphinx

FOLDER = "models"
_INTRODUCTION = """\
From one gene in one sample to a whole transcriptome. Each program has priors that are statements about the world in
words, a simulator that shares no code with it, and a density in Python that it is tested against. These pages are
written from the registry, which `bayesexpr models` prints."""


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages when a build begins."""
    app.connect("builder-inited", lambda sphinx: write_pages(Path(sphinx.srcdir) / FOLDER))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_pages(folder: Path) -> None:
    """Write a page for every program and one that lists them; unchanged ones are left alone."""
    folder.mkdir(exist_ok=True)
    pages = {f"{name}.md": model_page(registry.describe(name)) for name in registry.names()}
    pages["index.md"] = index_page()
    for old in folder.glob("*.md"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def index_page() -> str:
    """Write the page that lists all programs, from the simplest up."""
    summaries = {name: _sentence(registry.describe(name)["summary"]) for name in registry.names()}
    rows = [(f"[{name.replace('_', chr(92) + '_')}]({name}.md)", text) for name, text in summaries.items()]
    table = "\n".join(
        ["| program | what it is for |", "|---|---|", *(f"| {link} | {_cell(text)} |" for link, text in rows)]
    )
    contents = "\n".join(["```{toctree}", ":hidden:", "", *summaries, "```"])
    return "\n\n".join(["# The programs", _INTRODUCTION, table, contents]) + "\n"


def model_page(described: Mapping[str, Any]) -> str:
    """Write the page of a program as Markdown."""
    name = described["name"]
    parts = [f"# {name}", _sentence(described["summary"])]
    if described["exact"]:
        parts.append('It has a closed-form posterior with its default options: `method="exact"` draws from it.')
    parts += ["## Data", _table(("key", "meaning"), [(f"`{k}`", v) for k, v in described["data"].items()])]
    parts.append(f"The outcome is `{described['outcome']}`.")
    parts += ["## Parameters", _table(("name", "meaning"), [(f"`{k}`", v) for k, v in described["parameters"].items()])]
    if described["options"]:
        rows = [
            (f"`{k}`", ", ".join(f"`{c}`" for c in o["choices"]), o["what"]) for k, o in described["options"].items()
        ]
        parts += ["## Options", "The first choice is the default.", _table(("option", "choices", "meaning"), rows)]
    if described["priors"]:
        rows = [(f"`{k}`", f"`{p['default']}`", p["statement"]) for k, p in described["priors"].items()]
        parts += ["## Priors", _table(("name", "default", "in words"), rows)]
    parts += [
        "## From the command line",
        f"```bash\nbayesexpr stancode {name}\nbayesexpr fit {name} data.json -o run\n"
        f"bayesexpr sbc {name} -o campaign --simulations 200\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(_cell(text) for text in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Keep a text inside its cell; what is not code must not be read as markup."""
    kept = " ".join(str(text).split()).replace("|", "\\|")
    return (
        kept
        if kept.startswith("`")
        else kept.replace("*", "\\*").replace("_", "\\_").replace("[", "\\[").replace("<", "\\<")
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
