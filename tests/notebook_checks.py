"""What every notebook of the package must keep to, as it is shipped and once it is executed."""

from __future__ import annotations

import re
from typing import Any

from bayesexpr.report.notebook import notebook_page


def check_shipped(notebook: Any) -> None:
    """No outputs, no counts of executions, no names that are not public."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None
            assert not re.search(r"\._[a-z]|import _", cell.source), cell.source


def check_executed(notebook: Any) -> str:
    """Every code cell ran without a word on stderr; return the page, which asks for nothing outside of itself."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source.strip():
            assert cell.execution_count is not None, cell.source
            noise = [out for out in cell.outputs if out.output_type == "error" or out.get("name") == "stderr"]
            assert not noise, noise
    page = notebook_page(notebook)
    assert not re.search(r"""(src|href|action)=["'](?!#|data:image/)""", page)
    assert "Content-Security-Policy" in page
    return page
