"""The shape of the package: who may import whom, what an import costs, how long a module is."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOMES = {
    "bayesexpr": ROOT / "bayesexpr",
    "bayesexpr.calibration": ROOT / "calibration",
    "bayesexpr.notebooks": ROOT / "notebooks",
    "bayesexpr.stan_models": ROOT / "stan_models",
}
LONGEST = 400
"""Lines of a module."""

TOP = 7
FLOORS = {
    "bayesexpr": TOP,  # the lazy list of names, and nothing else
    "bayesexpr.__main__": TOP,
    "bayesexpr.cli": TOP,
    "bayesexpr.calibration": 5,  # a fit asks it for its check, and its campaigns make fits
    "bayesexpr.de": 5,
    "bayesexpr.de_cluster": 5,
    "bayesexpr.de_content": 5,
    "bayesexpr.de_digest": 5,
    "bayesexpr.de_eb": 5,
    "bayesexpr.de_fit": 5,
    "bayesexpr.de_folder": 5,
    "bayesexpr.de_groups": 5,
    "bayesexpr.de_sampling": 5,
    "bayesexpr.effect": 5,
    "bayesexpr.fitting": 5,
    "bayesexpr.program_content": 5,
    "bayesexpr.program_fit": 5,
    "bayesexpr.quant": 5,
    "bayesexpr.shrinkage": 5,
    "bayesexpr.zero_inflation": 5,
    "bayesexpr.run": 4,
    "bayesexpr.report": 4,
    "bayesexpr.plots": 4,
    "bayesexpr.chain_plots": 4,
    "bayesexpr.check_plots": 4,
    "bayesexpr.drawing": 4,
    "bayesexpr.effect_plots": 4,
    "bayesexpr.blocked": 4,
    "bayesexpr.stan": 4,
    "bayesexpr.datasets": 4,
    "bayesexpr.cluster": 4,
    "bayesexpr.empirical_bayes": 3,
    "bayesexpr.models": 3,
    "bayesexpr.priors": 3,
    "bayesexpr.posterior": 3,
    "bayesexpr.data": 2,
    "bayesexpr.distributions": 2,
    "bayesexpr.errors": 1,
    "bayesexpr.names": 1,
    "bayesexpr.notebooks": 1,
    "bayesexpr.progress": 1,
    "bayesexpr.stan_models": 1,
}
"""Floor of each module, or of all modules of a package; imports point to the same floor or down."""

ONLY_UNDER_STAN = ("cmdstanpy",)
ONLY_INSIDE_FUNCTIONS = ("cmdstanpy", "arviz", "arviz_base", "arviz_stats", "arviz_plots", "matplotlib.pyplot")


def modules() -> dict[str, Path]:
    """Every module of the package by its name."""
    found = {}
    for package, folder in HOMES.items():
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder).with_suffix("").parts
            name = ".".join([package, *parts]).removesuffix(".__init__")
            found[name] = file
    return found


MODULES = modules()


def imports(text: str, name: str, is_package: bool) -> Iterator[tuple[str, bool]]:
    """Modules that a module's text imports, and whether at its top; imports for type checkers are no imports."""
    tree = ast.parse(text)
    package = name if is_package else name.rpartition(".")[0]
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            skipped |= {id(inner) for statement in node.body for inner in ast.walk(statement)}
    inside = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) not in inside
        elif isinstance(node, ast.ImportFrom):
            home = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                home = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{home}.{alias.name}"
                yield (whole if whole in MODULES else home), id(node) not in inside


def imports_of(name: str) -> list[tuple[str, bool]]:
    file = MODULES[name]
    return list(imports(file.read_text(encoding="utf-8"), name, file.name == "__init__.py"))


def floor(name: str) -> int | None:
    """Floor of a module of the package; None where nobody gave it one."""
    while name:
        if name in FLOORS and (name != "bayesexpr"):
            return FLOORS[name]
        name = name.rpartition(".")[0]
    return None


def rises(text: str, name: str, is_package: bool = False) -> list[str]:
    """Imports of a module's text that point up."""
    own = TOP if name == "bayesexpr" else floor(name)
    assert own is not None
    wrong = []
    for target, _ in imports(text, name, is_package):
        if target.split(".")[0] == "bayesexpr":
            other = TOP if target == "bayesexpr" else floor(target)
            if other is None or other > own:
                wrong.append(f"{name} (floor {own}) imports {target} (floor {other})")
    return wrong


def test_every_module_has_a_floor() -> None:
    homeless = [name for name in MODULES if name != "bayesexpr" and floor(name) is None]
    assert not homeless, f"give them a floor in {Path(__file__).name}: {homeless}"
    gone = [name for name in FLOORS if name not in MODULES]
    assert not gone, f"there are no such modules: {gone}"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_down(name: str) -> None:
    file = MODULES[name]
    assert not rises(file.read_text(encoding="utf-8"), name, file.name == "__init__.py")


@pytest.mark.parametrize(
    "text",
    [
        "from bayesexpr.cli import main",
        "import bayesexpr.report.html",
        "from bayesexpr import de_fit",
        "from .. import fitting",
        "from ..stan.program import render",
        "def f():\n    from bayesexpr.stan import program",
        "from bayesexpr.unheard_of import x",
    ],
)
def test_an_import_that_points_up_is_seen(text: str) -> None:
    """Negative control: each of these would be an error in a module of floor 3."""
    assert rises(text, "bayesexpr.models.base")


def test_an_import_for_type_checkers_is_none() -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from bayesexpr.cli import main"
    assert not rises(text, "bayesexpr.models.base")


def test_cmdstanpy_and_arviz_are_imported_late() -> None:
    wrong = []
    for name in MODULES:
        for target, at_top in imports_of(name):
            if target.split(".")[0] in ONLY_UNDER_STAN and not name.startswith("bayesexpr.stan."):
                wrong.append(f"{name} imports {target} outside bayesexpr.stan")
            if at_top and (target in ONLY_INSIDE_FUNCTIONS or target.split(".")[0] in ONLY_INSIDE_FUNCTIONS):
                wrong.append(f"{name} imports {target} at its top")
    assert not wrong


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_module_is_too_long(name: str) -> None:
    lines = len(MODULES[name].read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST, f"{name} has {lines} lines; one idea fits in {LONGEST}"


def python(code: str, folder: Path) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", ["stan_models", "calibration", "notebooks", "benchmarks", "tests"])
def test_folders_of_the_checkout_are_no_packages_of_their_own(name: str, tmp_path: Path) -> None:
    """Generic names stay free for the user; elsewhere than in the checkout they mean nothing."""
    code = f"import importlib.util; print(importlib.util.find_spec({name!r}))"
    assert python(code, tmp_path).strip() == "None"
    assert importlib.util.find_spec("bayesexpr.stan_models") is not None
    assert importlib.util.find_spec("bayesexpr.calibration") is not None


HEAVY = ("cmdstanpy", "nbclient", "arviz_base", "matplotlib", "pandas", "scipy", "xarray", "zarr", "jinja2", "numpy")


def test_importing_the_package_is_quick(tmp_path: Path) -> None:
    """Under 0.5 s of processor time, the interpreter's start left out, and nothing heavy is loaded."""
    code = f"""
import sys, time
start = time.process_time()
import bayesexpr
spent = time.process_time() - start
print(spent, *(name for name in {HEAVY!r} if name in sys.modules))
"""
    spent, *loaded = python(code, tmp_path).split()
    assert float(spent) < 0.5
    assert not loaded


def test_the_public_names_are_there(tmp_path: Path) -> None:
    """Those of the interface; each is loaded when it is used."""
    names = ("read_counts", "fit_de", "fit", "load", "Beta", "Normal", "calibration", "priors", "CountData")
    code = f"""
import bayesexpr as bx
print(*(type(getattr(bx, name)).__name__ for name in {names!r}))
print(set(dir(bx)) >= set({names!r}), bx.__version__)
"""
    kinds, listed = python(code, tmp_path).splitlines()
    assert kinds.split()[:4] == ["function"] * 4
    assert listed.split() == ["True", "0.1.0"]
    with pytest.raises(AttributeError, match="no attribute"):
        _ = importlib.import_module("bayesexpr").no_such_name


def test_no_two_test_files_share_a_name() -> None:
    """They are imported by their names, and the whole suite runs in one process (`make test-all`)."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
