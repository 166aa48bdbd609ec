"""Notebooks of the package: executed with parameters, kept, and turned into pages that need nothing else.

Their cells show the sections of :mod:`bayesexpr.report.page`, so what a page says is said in one place whether it comes
out of a notebook or straight from a fit. Pages are made here, and not by an exporter, because their templates must
escape everything that is not known to be safe.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from bayesexpr import errors
from bayesexpr.errors import BayesexprError, InputError
from bayesexpr.report.page import environment, page, script_tag, write_text

if TYPE_CHECKING:
    from nbformat import NotebookNode

EXTRA = 'pip install "bayesexpr[notebook]"'
TIMEOUT = 1800.0
"""Seconds that a cell may take."""

_LONGEST_SOCKET = 90
_HIDDEN = "notebook-only"  # tag of cells that speak to readers of the notebook, not of the page
_STYLE = re.compile(r"<style\b.*?</style>", re.DOTALL | re.IGNORECASE)
_PANDAS = re.compile(r' style="[^"]*"| border="1"')


class NotebookError(BayesexprError):
    """A cell of a notebook failed or took too long."""


def notebook_names() -> tuple[str, ...]:
    """Names of the notebooks that come with the package."""
    files = resources.files("bayesexpr.notebooks").iterdir()
    return tuple(sorted(f.name.removesuffix(".ipynb") for f in files if f.name.endswith(".ipynb")))


def read_notebook(name: str | os.PathLike[str]) -> NotebookNode:
    """Read a notebook: one of the package by its name, or any file.

    Raises
    ------
    InputError
        There is no such notebook, or Jupyter's packages are not installed.
    """
    nbformat = _need("nbformat")
    if str(name) in notebook_names():
        text = resources.files("bayesexpr.notebooks").joinpath(f"{name}.ipynb").read_text(encoding="utf-8")
    else:
        try:
            text = Path(name).read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"the notebook {str(name)!r} cannot be read: {error.strerror}. Name a file, or one of "
                f"{', '.join(notebook_names())}."
            ) from None
    book: NotebookNode = nbformat.reads(text, as_version=4)
    return book


def execute(
    notebook: str | os.PathLike[str] | NotebookNode,
    parameters: Mapping[str, Any] | None = None,
    *,
    timeout: float = TIMEOUT,
    folder: str | os.PathLike[str] | None = None,
) -> NotebookNode:
    """Run a notebook in a fresh process of this Python and return it with its outputs.

    Parameters
    ----------
    notebook
        One of the package by its name, a file, or a notebook that was read.
    parameters
        Values (plain data) of names that the cell tagged ``parameters`` sets; they go into a cell below it.
    timeout
        Seconds that a cell may take.
    folder
        Where it runs; the current folder by default.

    Raises
    ------
    InputError
        There is no such notebook or parameter, or Jupyter's packages are not installed.
    NotebookError
        A cell failed or took too long. An error of this package is raised again as what it is.
    """
    nbclient, _ = _need("nbclient"), _need("ipykernel")
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    node = read_notebook(notebook) if isinstance(notebook, str | os.PathLike) else notebook
    node = _with_parameters(node, parameters or {})
    with tempfile.TemporaryDirectory(prefix="bayesexpr-notebook-") as scratch:
        client = nbclient.NotebookClient(
            node,
            km=_kernel_manager(Path(scratch)),
            timeout=timeout,
            record_timing=False,
            resources={"metadata": {"path": str(folder or Path.cwd())}},
        )
        client.owns_km = True  # the manager is ours, but it lives as long as the client
        # The reader's own start-up files and history are no part of a report.
        surroundings = {**os.environ, "IPYTHONDIR": scratch, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        try:
            _run(client, surroundings)
        except CellTimeoutError:
            raise NotebookError(f"a cell took longer than {timeout:g} s. Give it more with --timeout.") from None
        except DeadKernelError:
            raise NotebookError("the process of the notebook died, perhaps for want of memory.") from None
        except CellExecutionError as error:
            known = getattr(errors, error.ename, None)
            if isinstance(known, type) and issubclass(known, BayesexprError):
                raise known(error.evalue) from None
            raise NotebookError(f"a cell of the notebook failed: {error.ename}: {error.evalue}") from None
    return node


def notebook_page(notebook: NotebookNode) -> str:
    """Return an executed notebook as a page: its texts and outputs, with the code of every cell folded away."""
    title = str(notebook.metadata.get("title", "Report"))
    return page(title, environment().get_template("notebook.html").render(cells=_cells(notebook.cells)))


def notebook_report(
    name: str,
    parameters: Mapping[str, Any],
    output: str | os.PathLike[str],
    *,
    timeout: float = TIMEOUT,
) -> tuple[Path, Path]:
    """Execute a notebook of the package and write its page and, beside it, the executed notebook.

    Returns
    -------
    page, notebook : pathlib.Path
    """
    nbformat = _need("nbformat")
    target = Path(output)
    if not target.absolute().parent.is_dir():
        raise InputError(f"the report cannot be written at {str(output)!r}: there is no such folder.")
    if target.suffix == ".ipynb" or target.is_dir():
        raise InputError(f"a report is an HTML file; -o is {str(output)!r}. Name a file that ends in .html.")
    done = execute(name, parameters, timeout=timeout)
    try:
        kept = write_text(target.with_suffix(".ipynb"), nbformat.writes(done) + "\n")
        return write_text(target, notebook_page(done)), kept
    except OSError as error:
        raise InputError(f"the report cannot be written at {str(output)!r}: {error.strerror}.") from None


def _run(client: Any, surroundings: Mapping[str, str]) -> None:
    """Execute in a thread of its own, where the client leaves signals alone; an interrupt ends the kernel at once."""
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(lambda: asyncio.run(client.async_execute(env=dict(surroundings))))
        try:
            done.result()
        except KeyboardInterrupt:
            kernel = getattr(client.km, "provisioner", None)
            if kernel is not None and kernel.has_process:
                os.kill(kernel.pid, signal.SIGKILL)
            raise


def _need(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise InputError(f"notebooks need the package {name}, which is not installed: {EXTRA}.") from None


def _with_parameters(notebook: NotebookNode, parameters: Mapping[str, Any]) -> NotebookNode:
    """Return a copy in which `parameters` are set right after the defaults."""
    import copy

    node = copy.deepcopy(notebook)
    if not parameters:
        return node
    place = next((i for i, c in enumerate(node.cells) if "parameters" in c.metadata.get("tags", ())), None)
    known = "" if place is None else node.cells[place].source
    for key, value in parameters.items():
        if not re.search(rf"^{re.escape(key)}\s*(:[^=]*)?=", known, re.MULTILINE):
            raise InputError(f"the notebook has no parameter {key!r}.")
        json.dumps(value)  # plain data only: its repr is then its source
    assert place is not None
    text = "\n".join(f"{key} = {value!r}" for key, value in parameters.items())
    cell = _need("nbformat.v4").new_code_cell(text, metadata={"tags": ["injected-parameters"]})
    cell.id = "injected-parameters"  # a random one would make two runs differ
    node.cells.insert(place + 1, cell)
    return node


def _kernel_manager(scratch: Path) -> Any:
    """Make a manager whose kernel is this Python, whatever kernels are registered under its name."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class _ThisPython(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> Any:
            # -P and ignore_cwd: a file of the folder it runs in must not be taken for a module
            argv = [sys.executable, "-P", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            return KernelSpec(
                argv=[*argv, "--InteractiveShellApp.ignore_cwd=True"], display_name="Python 3", language="python"
            )

    # sockets in a folder that only this user can enter, not ports of the machine; their paths may have about 100 bytes
    private = len(os.fsencode(scratch)) < _LONGEST_SOCKET
    return AsyncKernelManager(
        kernel_name="python3",
        kernel_spec_manager=_ThisPython(),
        connection_file=str(scratch / "kernel.json"),
        **({"transport": "ipc", "ip": str(scratch / "k")} if private else {}),
    )


def _cells(cells: Any) -> list[dict[str, Any]]:
    """Turn cells into texts and outputs; the code of cells without output goes with that of the next one with any."""
    made: list[dict[str, Any]] = []
    waiting: list[str] = []
    for cell in cells:
        if _HIDDEN in cell.metadata.get("tags", ()):
            continue
        if cell.cell_type == "markdown":
            made.append({"html": _markdown(cell.source), "outputs": [], "source": ""})
        elif cell.cell_type == "code":
            waiting.append(cell.source)
            outputs = [out for out in (_output(one) for one in cell.outputs) if out]
            if outputs:
                made.append({"html": "", "outputs": outputs, "source": "\n\n".join(waiting)})
                waiting = []
    return [*made, {"html": "", "outputs": [], "source": "\n\n".join(waiting)}] if waiting else made


def _markdown(text: str) -> Markup:
    """Turn CommonMark into HTML; HTML inside of it stays text."""
    from markdown_it import MarkdownIt

    return Markup(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))


def _output(output: Any) -> dict[str, Any] | None:
    """Choose the richest form of an output that a page can show."""
    if output.output_type == "stream":
        return {"kind": "text", "value": output.text}
    if output.output_type == "error":
        return {"kind": "text", "value": f"{output.ename}: {output.evalue}"}
    data = output.get("data", {})
    if "text/html" in data:
        html = _STYLE.sub("", data["text/html"].replace(script_tag(), ""))
        return {"kind": "html", "value": Markup(_PANDAS.sub("", html) if 'class="dataframe"' in html else html)}
    if "image/png" in data:
        words = output.get("metadata", {}).get("alt") or "figure of the cell above"
        return {"kind": "png", "value": "".join(data["image/png"].split()), "alt": words}
    return {"kind": "text", "value": data["text/plain"]} if "text/plain" in data else None
