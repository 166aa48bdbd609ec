"""The grammar of formulas: expansion against formulaic's, and refusal of code."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from formulaic.parser import DefaultFormulaParser

from bayesexpr.data.formula import parse_formula
from bayesexpr.errors import DesignError


def as_sets(text: str) -> tuple[list[frozenset[str]], bool]:
    parsed = parse_formula(text)
    return [frozenset(term) for term in parsed.terms], parsed.intercept


def from_formulaic(text: str) -> tuple[list[frozenset[str]], bool]:
    terms = DefaultFormulaParser().get_terms(text)
    sets = [frozenset(str(factor) for factor in term.factors) for term in terms]
    intercept = frozenset({"1"}) in sets
    named = [one for one in sets if one != frozenset({"1"})]
    return sorted(named, key=len), intercept


@pytest.mark.parametrize(
    "text",
    [
        "~ a",
        "~ a + b",
        "~a*b",
        "~ a:b",
        "~ a + b + a:b",
        "~ b:a + a",
        "~ a*b*c",
        "~ a*b*c - a:b:c",
        "~ (a + b)*c",
        "~ (a + b):(c + d)",
        "~ (a + b + c)*(a + b + c)",
        "~ 0 + a",
        "~ a + 0",
        "~ a - 1",
        "~ -1 + a + b",
        "~ a + b - a",
        "~ a*b - b",
        "~ a + a + a:a",
        "~ 1 + a",
        "~ a.b + _c",
    ],
)
def test_expansion_is_that_of_formulaic(text: str) -> None:
    assert as_sets(text) == from_formulaic(text)


def test_terms_keep_their_order_after_main_effects() -> None:
    assert parse_formula("~ a:b + c + a").terms == (("c",), ("a",), ("a", "b"))


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("~ `my column`", "my column"),
        ('~ Q("2 + 2")', "2 + 2"),
        ("~ Q('é:x')", "é:x"),
        ("~ größe", "größe"),
        ("~ Q", "Q"),
    ],
)
def test_quoted_and_unusual_names(text: str, column: str) -> None:
    assert parse_formula(text).columns == (column,)


@pytest.mark.parametrize("text", ["~ C(lane)", '~ C(Q("lane"))', "~ C(`lane`)", "~ ( C ( lane ) )"])
def test_forced_categorical(text: str) -> None:
    parsed = parse_formula(text)
    assert parsed.terms == (("lane",),)
    assert parsed.categorical == {"lane"}


def test_a_column_may_be_called_c() -> None:
    assert parse_formula("~ C").columns == ("C",)
    assert not parse_formula("~ C + x").categorical


@pytest.mark.parametrize(
    "text",
    [
        "~ open('{canary}', 'w')",
        "~ I(__import__('pathlib').Path('{canary}').touch())",
        "~ __import__('os').system('touch {canary}')",
        "~ Q(open('{canary}', 'w'))",
        "~ C(open('{canary}', 'w'))",
        "~ C(a, Treatment(open('{canary}', 'w')))",
        "~ {{a.__class__}}",
        "~ [x for x in open('{canary}', 'w')]",
        "~ a if open('{canary}', 'w') else b",
        "~ (lambda: open('{canary}', 'w'))()",
        "~ bs(age)",
        "~ np.log(age)",
    ],
)
def test_code_is_refused_and_not_run(text: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    with pytest.raises(DesignError, match="cannot hold"):
        parse_formula(text.replace("{canary}", str(canary)))
    assert not canary.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must begin with '~'"),
        ("a + b", "must begin with '~'"),
        ("y ~ a", "must begin with '~'"),
        ("~", "ends too early"),
        ("~ a +", "ends too early"),
        ("~ a b", r"cannot hold 'b' at character 5"),
        ("~ (a + b", "ends too early"),
        ("~ a)", "cannot hold"),
        ("~ a ** 2", "cannot hold"),
        ("~ a / b", "cannot hold"),
        ("~ a | b", "cannot hold"),
        ("~ .", "cannot hold"),
        ("~ 2", "cannot hold"),
        ("~ a:0", "ends too early"),
        ("~ 0*a", "cannot hold|ends too early"),
        ("~ `a", "cannot hold"),
        ("~ a + ~ b", "cannot hold"),
        ("~ a\0", "cannot hold"),
        ("~ 1", "must name a column"),
        ("~ a - a", "must name a column"),
        ("~ " + "(" * 60 + "a" + ")" * 60, "at most 50 deep"),
        ("~ " + "+".join(f"a{i}" for i in range(2000)), "at most 4000 characters"),
        ("~ " + "*".join(f"a{i}" for i in range(12)), "at most 500 terms"),
    ],
)
def test_what_is_not_of_the_grammar(text: str, message: str) -> None:
    with pytest.raises(DesignError, match=message):
        parse_formula(text)


def test_random_text_is_a_formula_or_a_design_error() -> None:
    """Twenty thousand strings of grammar pieces and noise; seed 11. Both outcomes must occur."""
    rng = random.Random(11)
    pieces = [
        "~",
        "a",
        "b",
        "C",
        "Q",
        "(",
        ")",
        "+",
        "-",
        "*",
        ":",
        "0",
        "1",
        " ",
        "`x y`",
        '"q"',
        "'",
        "`",
        "I",
        "2",
        "~ a",
    ]
    accepted = 0
    for _ in range(20_000):
        text = "~" * rng.randint(0, 1) + "".join(rng.choices(pieces, k=rng.randint(0, 9)))
        try:
            parsed = parse_formula(text)
        except DesignError:
            continue
        accepted += 1
        assert parsed.terms
        assert all(parsed.terms)
    assert 100 < accepted < 10_000
