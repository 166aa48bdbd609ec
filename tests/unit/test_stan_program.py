"""Rendering: options choose structure, includes and kernels are part of the program, mistakes are named."""

from __future__ import annotations

from typing import Any

import pytest

from bayesexpr.errors import OptionError
from bayesexpr.stan import program
from bayesexpr.stan.program import StanProgram, render, template_names

FILES = {
    "toy.stan": """// A toy.
//% if core == "cpp"
// kernel: fast
//% endif
functions {
  #include functions/outer.stanfunctions
}
parameters {
//% if bounded
  real<lower=/*= lower =*/> x;
//% else
  real x;
//% endif
}
""",
    "loop.stan": "#include functions/loop.stanfunctions\n",
    "lost.stan": '#include "functions/absent.stanfunctions"\n',
    "thief.stan": "#include ../../etc/passwd\n",
    "two.stan": "// kernel: fast\n// kernel: other\n",
    "nokernel.stan": "// kernel: absent\n",
    "functions/outer.stanfunctions": "#include functions/inner.stanfunctions\nreal outer(real x) { return 1; }\n",
    "functions/inner.stanfunctions": "real inner(real x) { return x; }\n",
    "functions/loop.stanfunctions": "#include functions/loop.stanfunctions\n",
    "kernels/fast.hpp": '#include <stan/model/model_header.hpp>\n#include "fast_core.hpp"\n',
    "kernels/fast.cpp": '#include "fast_core.hpp"\n#include "math.hpp"\n',
    "kernels/fast_core.hpp": "#include <stddef.h>\n",
    "kernels/math.hpp": "",
}
OPTIONS = {"core": "cpp", "bounded": True, "lower": 0}


@pytest.fixture(autouse=True)
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    texts = dict(FILES)
    program._environment.cache_clear()
    monkeypatch.setattr(program, "_read", texts.get)
    return texts


def changed(**options: Any) -> StanProgram:
    return render("toy", OPTIONS | options)


def test_options_and_includes_are_applied() -> None:
    code = render("toy", OPTIONS).code
    assert "real<lower=0> x;" in code
    assert "real inner(real x)" in code
    assert code.index("inner(real") < code.index("outer(real")
    assert "#include" not in code
    assert "//%" not in code
    assert "real x;\n" in changed(bounded=False).code


def test_a_kernel_comes_with_all_its_files_and_only_when_asked_for() -> None:
    found = render("toy", OPTIONS)
    assert found.kernel == "fast"
    assert sorted(found.sources) == ["fast.cpp", "fast.hpp", "fast_core.hpp", "math.hpp"]
    without = changed(core="stan")
    assert without.kernel is None
    assert without.sources == {}


def test_the_digest_covers_options_includes_and_kernels(files: dict[str, str]) -> None:
    digests = {render("toy", OPTIONS).digest, changed(lower=1).digest, changed(core="stan").digest}
    for name in ("functions/inner.stanfunctions", "kernels/math.hpp", "kernels/fast.cpp"):
        files[name] += "// changed\n"
        digests.add(render("toy", OPTIONS).digest)
    assert len(digests) == 6
    assert render("toy", OPTIONS).digest in digests


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("absent", "no Stan program named 'absent'"),
        ("../toy", "no Stan program named"),
        ("loop", "in a circle"),
        ("lost", r"absent\.stanfunctions"),
        ("thief", "not a file of"),
        ("two", "one kernel at most"),
        ("nokernel", "kernels/absent"),
    ],
)
def test_mistakes_in_templates_are_named(template: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        render(template, {})


def test_a_missing_option_is_named() -> None:
    with pytest.raises(OptionError, match="'lower' is undefined; given: bounded, core"):
        render("toy", {"core": "stan", "bounded": True})


@pytest.mark.parametrize("name", ["", "1a", "a b", "../a", "a; }", "x" * 65])
def test_a_name_that_is_no_identifier_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match="name"):
        StanProgram(name=name, code="")


def test_reading_stays_in_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert program._read("../pyproject.toml") is None
    assert program._read("/etc/passwd") is None
    assert program._read("functions") is None
    for name in template_names():
        assert program._read(f"{name}.stan")
