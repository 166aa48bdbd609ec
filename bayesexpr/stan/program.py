"""Rendering: a template of ``bayesexpr.stan_models`` and its options become one Stan program.

Structure comes from the template's options, values from the data. Delimiters look like Stan comments, so that
a template reads and highlights as Stan::

    //% if effect_prior == "student"          a line that chooses structure
    /*= effect_prior =*/                       a value pasted in place
    #include functions/spike.stanfunctions     inlined here, so that the digest covers it
    // kernel: negative_binomial               the C++ that the program's undefined function lives in

Rendering needs neither a compiler nor CmdStan.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from bayesexpr.errors import OptionError

if TYPE_CHECKING:
    import jinja2

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_INCLUDE = re.compile(r"^[ \t]*#include[ \t]+[\"<]?([^\s\"<>]+)[\">]?[ \t]*$", re.MULTILINE)
_LOCAL_HEADER = re.compile(r"^[ \t]*#[ \t]*include[ \t]+\"([^\"]+)\"", re.MULTILINE)
_KERNEL = re.compile(r"^// kernel: ([A-Za-z][A-Za-z0-9_]*)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class StanProgram:
    """A Stan program ready to be compiled.

    Attributes
    ----------
    name : str
        Name of the model; letters, digits and underscores.
    code : str
        The whole program: options applied, includes inlined.
    options : Mapping
        The options it was rendered with.
    kernel : str or None
        Name of the C++ kernel that defines the program's undefined functions.
    sources : Mapping[str, str]
        File name to text of the kernel's C++ files: ``NAME.hpp`` (the user header), perhaps ``NAME.cpp`` (its
        core, functions with a plain C interface compiled with flags of their own, which the header includes
        where BAYESEXPR_KERNEL_INLINE is defined), and what they include.
    """

    name: str
    code: str
    options: Mapping[str, Any] = field(default_factory=dict)
    kernel: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise OptionError(
                "a model's name has letters, digits and underscores, starts with a letter and has at most 64 "
                f"characters; it is {self.name!r}. Rename it."
            )

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of everything in the program that reaches the compiler."""
        content = [self.name, self.code, self.kernel, sorted(self.sources.items())]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def render(template: str, options: Mapping[str, Any]) -> StanProgram:
    """Render one template of the package.

    Parameters
    ----------
    template : str
        Name of the template, without ``.stan``.
    options : Mapping
        Every option that the template asks for.

    Returns
    -------
    StanProgram

    Raises
    ------
    OptionError
        There is no such template, or it asks for an option that was not given.
    """
    import jinja2

    try:
        text = _environment().get_template(f"{template}.stan").render(**options)
    except jinja2.TemplateNotFound:
        known = ", ".join(template_names()) or "none"
        raise OptionError(f"there is no Stan program named {template!r}; there are: {known}.") from None
    except jinja2.UndefinedError as error:
        given = ", ".join(sorted(options)) or "none"
        raise OptionError(
            f"the program {template!r} asks for an option that was not given: {error.message}; given: {given}."
        ) from None
    code = _inline_includes(text, ())
    found = _KERNEL.findall(code)
    if len(set(found)) > 1:
        raise OptionError(f"a program has one kernel at most; {template!r} names {', '.join(found)}.")
    kernel = found[0] if found else None
    return StanProgram(
        name=template,
        code=code,
        options=dict(options),
        kernel=kernel,
        sources=_kernel_sources(kernel) if kernel else {},
    )


def template_names() -> tuple[str, ...]:
    """Names of all templates of the package, sorted."""
    folder = resources.files("bayesexpr.stan_models")
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".stan")))


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    import jinja2

    def load(name: str) -> str | None:
        return _read(name) if _NAME.fullmatch(name.removesuffix(".stan")) else None

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(load),
        undefined=jinja2.StrictUndefined,
        line_statement_prefix="//%",
        variable_start_string="/*=",
        variable_end_string="=*/",
        block_start_string="/*%",
        block_end_string="%*/",
        comment_start_string="/*#",
        comment_end_string="#*/",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def _read(path: str) -> str | None:
    """Text of a file of the package of templates; None where there is none, or the path leaves it."""
    if ".." in path.split("/") or path.startswith("/"):
        return None
    file = resources.files("bayesexpr.stan_models").joinpath(path)
    return file.read_text(encoding="utf-8") if file.is_file() else None


def _inline_includes(text: str, parents: tuple[str, ...]) -> str:
    def replace(match: re.Match[str]) -> str:
        path = match.group(1)
        if path in parents:
            raise OptionError(f"Stan files include each other in a circle: {' -> '.join((*parents, path))}.")
        included = _read(path)
        if included is None:
            raise OptionError(f"a Stan program includes {path!r}, which is not a file of bayesexpr.stan_models.")
        return _inline_includes(included.rstrip("\n"), (*parents, path))

    return _INCLUDE.sub(replace, text)


def _kernel_sources(kernel: str) -> dict[str, str]:
    """Collect a kernel's header, its C++ file if there is one, and the files of the folder they include."""
    header = _read(f"kernels/{kernel}.hpp")
    if header is None:
        raise OptionError(f"a program names the kernel {kernel!r}, but there is no kernels/{kernel}.hpp.")
    sources = {f"{kernel}.hpp": header}
    body = _read(f"kernels/{kernel}.cpp")
    if body is not None:
        sources[f"{kernel}.cpp"] = body
    return _with_headers(sources)


def library_sources(program: StanProgram) -> dict[str, str]:
    """C++ files of the library that Python loads for a program with a kernel's core; the one to compile comes first.

    That is ``NAME_library.cpp``, which includes the core and adds what the program itself has no use for; without it,
    the core.
    """
    body = f"{program.kernel}.cpp"
    name = f"{program.kernel}_library.cpp"
    more = _read(f"kernels/{name}")
    return _with_headers({body: program.sources[body]} if more is None else {name: more})


def _with_headers(sources: dict[str, str]) -> dict[str, str]:
    """Add the files of the folder of kernels that the given ones include."""
    sources = dict(sources)
    waiting = list(sources.values())
    while waiting:
        for name in _LOCAL_HEADER.findall(waiting.pop()):
            text = None if name in sources else _read(f"kernels/{name}")
            if text is not None:
                sources[name] = text
                waiting.append(text)
    return sources
