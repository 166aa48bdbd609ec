"""Digests of what a campaign's ranks follow from, blind to what they do not: comments, layout, words.

A function stands for its own code and for that of all functions, classes and constants of its package that it
reaches by name. Comments, docstrings, annotations and what an error says are left out, so that a record goes stale
when a number could change, and only then. Not followed are the checks of a user's input, which refuse or pass on, and
the running of chains.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from bayesexpr.stan.program import StanProgram

_NOT_FOLLOWED = ("bayesexpr.models.checks", "bayesexpr.errors", "bayesexpr.stan.", "bayesexpr.calibration.digests")
_NO_MATTER = frozenset({"annotation", "returns", "type_comment", "type_params", "kind", "ctx"})
_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Method:
    """A method as a class has it: what it calls on ``self`` is looked up in that class."""

    owner: type
    name: str


def digest_of(*parts: Any) -> str:
    """SHA-256 (hex) of code (functions, methods, classes, modules) and of the JSON of anything else."""
    digest = hashlib.sha256()
    for part in parts:
        is_code = isinstance(part, Method | ModuleType | type) or inspect.isroutine(part)
        text = _code_of(part) if is_code else json.dumps(part, sort_keys=True, default=_plain)
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()


def methods(owner: type, *names: str) -> list[Method]:
    """Several methods of one class."""
    return [Method(owner, name) for name in names]


def program_digest(program: StanProgram) -> str:
    """SHA-256 (hex) of a Stan program and its kernel without their comments and layout."""
    texts = [program.name, program.code, *(text for _, text in sorted(program.sources.items()))]
    return digest_of([_SPACE.sub(" ", _COMMENT.sub(lambda m: m[1] or " ", text)).strip() for text in texts])


@lru_cache(maxsize=1024)
def _code_of(part: Any) -> str:
    walk = _Walk()
    if isinstance(part, Method):
        walk.roots.add(part.owner.__module__.partition(".")[0])
        walk.method(part.owner, part.name)
    elif isinstance(part, ModuleType):
        walk.roots.add(part.__name__.partition(".")[0])
        for value in vars(part).values():
            if getattr(value, "__module__", None) == part.__name__:
                walk.reach(value)
    else:
        walk.roots.add(part.__module__.partition(".")[0])
        walk.reach(part)
    return json.dumps(sorted(walk.found.items()))


@dataclass
class _Walk:
    """Code found so far, by its qualified name."""

    found: dict[str, str] = field(default_factory=dict)
    roots: set[str] = field(default_factory=lambda: {"bayesexpr"})

    def reach(self, value: Any, name: str = "") -> None:
        """Take in what a name stands for, if it is of the package, or plain data."""
        value = inspect.unwrap(value) if callable(value) else value
        if inspect.ismethod(value):
            self.method(type(value.__self__), value.__name__)
        elif isinstance(value, FunctionType):
            if self._own(value):
                self._function(value, None)
        elif isinstance(value, type):
            if self._own(value) and not issubclass(value, BaseException):
                self._class(value)
        elif name and _is_plain(value):
            self.found[name] = json.dumps(value, sort_keys=True, default=_plain)

    def method(self, owner: type, name: str) -> None:
        """Take in a method, or a property, and what it reaches."""
        value = inspect.getattr_static(owner, name, None)
        value = getattr(value, "fget", None) or getattr(value, "func", None) or getattr(value, "__func__", value)
        value = inspect.unwrap(value) if callable(value) else value
        if isinstance(value, FunctionType) and self._own(value):
            self._function(value, owner)

    def _own(self, value: Any) -> bool:
        module = str(value.__module__)
        return module.partition(".")[0] in self.roots and not f"{module}.".startswith(_NOT_FOLLOWED)

    def _function(self, function: FunctionType, owner: type | None) -> None:
        key = f"{function.__module__}.{function.__qualname__}"
        key = key if owner is None else f"{key} of {owner.__qualname__}"
        if key not in self.found and (tree := _tree(function)) is not None:
            self.found[key] = _words(tree)
            closed = inspect.getclosurevars(function).nonlocals
            self._names(tree, {**function.__globals__, **closed}, owner)

    def _class(self, owner: type) -> None:
        key = f"{owner.__module__}.{owner.__qualname__}"
        if key not in self.found and (tree := _tree(owner)) is not None:
            self.found[key] = _words(tree)
            self._names(tree, vars(importlib.import_module(owner.__module__)), owner)
            for base in owner.__bases__:
                self.reach(base)

    def _names(self, tree: ast.AST, known: Mapping[str, Any], owner: type | None) -> None:
        scope = dict(known)
        for node in _matter(tree):
            if isinstance(node, ast.ImportFrom):
                scope.update(_imported(node, str(known.get("__package__") or "")))
        for node in _matter(tree):
            if isinstance(node, ast.Name) and node.id in scope:
                self.reach(scope[node.id], f"{known.get('__name__')}.{node.id}")
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                base = scope.get(node.value.id)
                if isinstance(base, ModuleType) and base.__name__.partition(".")[0] in self.roots:
                    self.reach(getattr(base, node.attr, None), f"{base.__name__}.{node.attr}")
                elif owner is not None and node.value.id in ("self", "cls"):
                    self.method(owner, node.attr)


def _tree(code: Any) -> ast.AST | None:
    """Syntax of a function or class; None where there is no source, as of a dataclass's own methods."""
    if getattr(code, "__name__", "") == "<lambda>":  # its source is that of the whole statement
        made = code.__code__
        return ast.parse(repr((made.co_code.hex(), repr(made.co_consts), made.co_names)), mode="eval").body
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(code))).body[0]
    except (OSError, TypeError):
        return None


def _words(node: Any) -> str:
    """Write a tree down, without what does not matter; the same in every version of Python."""
    if isinstance(node, ast.Raise | ast.Assert):
        return type(node).__name__
    if isinstance(node, ast.AST):
        parts = [f"{name}={_words(value)}" for name, value in ast.iter_fields(node) if _counts(name, value)]
        return f"{type(node).__name__}({','.join(parts)})"
    if isinstance(node, list):
        return f"[{','.join(_words(part) for part in node if not _is_docstring(part))}]"
    return repr(node)


def _matter(node: ast.AST) -> Iterator[ast.AST]:
    """Go through the nodes that are written down."""
    yield node
    if isinstance(node, ast.Raise | ast.Assert):
        return
    for name, value in ast.iter_fields(node):
        if _counts(name, value):
            parts: Iterable[Any] = value if isinstance(value, list) else [value]
            for part in parts:
                if isinstance(part, ast.AST) and not _is_docstring(part):
                    yield from _matter(part)


def _counts(name: str, value: Any) -> bool:
    return name not in _NO_MATTER and value is not None and value != []


def _is_docstring(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _imported(node: ast.ImportFrom, package: str) -> dict[str, Any]:
    """Objects that an import inside a function brings."""
    try:
        name = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
        module = importlib.import_module(name)
    except ImportError:
        return {}
    return {alias.asname or alias.name: getattr(module, alias.name, None) for alias in node.names}


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_is_plain(part) for part in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return all(_is_plain(part) for part in value)
    return isinstance(value, bool | int | float | str | np.ndarray | np.generic)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return str(value)
