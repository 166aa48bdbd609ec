"""What this machine has of what a fit needs, what is missing, and the remedy for it."""

from __future__ import annotations

import importlib.util
import os
import platform
from typing import Any

from bayesexpr.errors import ToolchainError
from bayesexpr.stan import build_tools, cache, embedded, toolchain


def doctor(home: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Examine the machine without building anything.

    Parameters
    ----------
    home : path, optional
        Folder of a CmdStan to use instead of the one that would be found.

    Returns
    -------
    dict
        ``python``: version. ``cxx``, ``make``: command and version, or None. ``cmdstan``: ``path``,
        ``version``, ``kind`` ("installed" or "embedded") and ``built`` (an embedded one is built by the
        first fit), or None where there can be none. ``cache``: its folder, or None. ``cores``: processors
        that this process may use. ``problems``: list of ``{"what", "remedy"}``; a fit can run exactly if it
        is empty.
    """
    problems: list[dict[str, str]] = []
    compiler, make = build_tools.find_compiler(), build_tools.find_make()
    if compiler is None:
        named = os.environ.get("CXX")
        what = f"the C++ compiler {named!r} of CXX does not run" if named else "there is no C++ compiler"
        problems.append({"what": what, "remedy": build_tools.INSTALL_COMPILER})
    if make is None:
        problems.append({"what": "there is no make", "remedy": build_tools.INSTALL_COMPILER})
    if importlib.util.find_spec("cmdstanpy") is None:
        problems.append({"what": "cmdstanpy is not installed", "remedy": "pip install 'bayesexpr[stan]'"})
    folder = _examine_cache(problems)
    return {
        "python": platform.python_version(),
        "cxx": {"command": " ".join(compiler.command), "version": compiler.version} if compiler else None,
        "make": make,
        "cmdstan": _examine_stan(home, folder is not None, problems),
        "cache": folder,
        "cores": build_tools.cores(),
        "problems": problems,
    }


def _examine_cache(problems: list[dict[str, str]]) -> str | None:
    try:
        return str(cache.root())
    except ToolchainError as error:
        problems.append(_parted(error))
        return None


def _examine_stan(
    home: str | os.PathLike[str] | None, has_cache: bool, problems: list[dict[str, str]]
) -> dict[str, Any] | None:
    if not has_cache and home is None and not os.environ.get("CMDSTAN"):
        return None
    try:
        found = toolchain.find(home)
    except ToolchainError as error:
        problems.append(_parted(error))
        return None
    if found is not None:
        return {"path": str(found.home), "version": found.version, "kind": found.kind, "built": True}
    if embedded.wheel() is None:
        problems.append(
            {
                "what": f"there is no CmdStan, and bayesexpr has none for {platform.system()} {platform.machine()}",
                "remedy": "install CmdStan and name its folder in the environment variable CMDSTAN",
            }
        )
        return None
    problems += embedded.obstacles()
    planned = embedded.home()
    if planned is None:
        return None
    return {"path": str(planned), "version": embedded.STAN_VERSION, "kind": "embedded", "built": False}


def _parted(error: ToolchainError) -> dict[str, str]:
    what, _, remedy = str(error).partition(". ")
    return {"what": what, "remedy": remedy.rstrip(".")}
