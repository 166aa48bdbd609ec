"""Digests: what could change a number changes them; comments, layout, annotations and messages do not."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bayesexpr.calibration.digests import Method, digest_of, program_digest
from bayesexpr.stan.program import StanProgram

SOURCE = '''
"""Module."""
from dataclasses import dataclass

LIMIT = 3.0


def helper(x):
    return x + LIMIT


def other(x):
    return x


class Base:
    def shared(self, x):
        return helper(x)


@dataclass(frozen=True)
class Thing(Base):
    size: int = 2

    @property
    def double(self):
        return 2 * self.size

    def simulate(self, x):
        """Simulate."""
        if x < 0:
            raise ValueError("x is not negative")
        return self.shared(x) * self.double

    def unused(self):
        return other(1)
'''


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Digest of ``Thing.simulate`` in a version of the source with one text replaced by another."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made = []

    def of(old: str = "", new: str = "") -> str:
        assert old in SOURCE
        name = "digested_source"
        (tmp_path / f"{name}.py").write_text(SOURCE.replace(old, new, 1) if old else SOURCE)
        made.append(name)
        sys.modules.pop(name, None)
        importlib.invalidate_caches()
        import linecache

        linecache.clearcache()
        module = importlib.import_module(name)
        return digest_of(Method(module.Thing, "simulate"))

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield of
    for name in made:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Simulate."""', '"""Simulate it, said otherwise."""'),
        ("return x + LIMIT", "return (x\n        + LIMIT)  # why"),
        ("def helper(x):", "def helper(x: float) -> float:"),
        ('"x is not negative"', '"x must not be negative"'),
        ("return other(1)", "return other(2)"),
        ("def other(x):\n    return x", "def other(x):\n    return -x"),
    ],
    ids=["docstring", "layout", "annotation", "message", "another method", "what only it calls"],
)
def test_what_does_not_matter_changes_no_digest(digest: Any, old: str, new: str) -> None:
    assert digest(old, new) == digest()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return x + LIMIT", "return x - LIMIT"),
        ("LIMIT = 3.0", "LIMIT = 3.1"),
        ("return helper(x)", "return helper(2 * x)"),
        ("return 2 * self.size", "return 3 * self.size"),
        ("if x < 0:", "if x <= 0:"),
    ],
    ids=["a function called", "a constant", "an inherited method", "a property", "a condition"],
)
def test_what_matters_changes_the_digest(digest: Any, old: str, new: str) -> None:
    assert digest(old, new) != digest()


def test_a_program_is_its_code_without_comments() -> None:
    code = 'data { int N; } // size\nmodel { /* none */ print("// kept"); }\n'
    base = program_digest(StanProgram("one", code))
    assert program_digest(StanProgram("one", 'data { int N; }\nmodel {\n  print("// kept"); }')) == base
    assert program_digest(StanProgram("one", code.replace("// kept", "/ kept"))) != base
    assert program_digest(StanProgram("one", code.replace("int N", "int M"))) != base
    assert program_digest(StanProgram("two", code)) != base
    assert program_digest(StanProgram("one", code, sources={"k.hpp": "int f();"})) != base


def test_functions_written_in_place_have_digests() -> None:
    factor = 2.0
    first, second = (lambda x: factor * x), (lambda x: factor + x)
    assert digest_of(first) != digest_of(second)
    assert digest_of(textwrap.dedent) == digest_of(textwrap.dedent)
