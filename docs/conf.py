"""How the documentation is built; `make docs`."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

project = "bayesexpr"
author = "The bayesexpr developers"
release = metadata.version("bayesexpr")
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "registry_pages"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"bayesexpr {release}"
html_show_sphinx = False
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_typehints = "none"  # the docstrings say what a value is; signatures with full types are hard to read
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
suppress_warnings = ["myst.xref_missing"]

_LITERAL = re.compile(r"(``.*?``|`.*?`)")


def _escape_bars(app: Any, what: str, name: str, thing: object, options: Any, lines: list[str]) -> None:
    """Keep P(|LFC| > t) from being read as a substitution."""
    for i, line in enumerate(lines):
        parts = _LITERAL.split(line)
        lines[i] = "".join(p if p.startswith("`") else p.replace("|", "\\|") for p in parts)


def setup(app: Any) -> None:
    """Connect what prepares docstrings."""
    app.connect("autodoc-process-docstring", _escape_bars, priority=900)
