"""The grammar of a design formula, and its expansion into terms.

::

    formula = "~" sum
    sum     = ["+" | "-"] product { ("+" | "-") product }
    product = cross { "*" cross }
    cross   = atom { ":" atom }
    atom    = name | quoted | "C(" (name | quoted) ")" | "0" | "1" | "(" sum ")"
    quoted  = "`any text`" | 'Q("any text")'

A formula is read with this grammar and never evaluated: whatever else it holds, a function call among them, is an
error. `*` and `:` have their usual meaning (``a * b`` is ``a + b + a:b``), `-` takes terms away, and terms are
ordered by the number of their factors, then as written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import DesignError

LONGEST = 4_000  # characters
DEEPEST = 50  # nested parentheses
MOST_TERMS = 500

GRAMMAR = (
    "A formula may hold column names, + - : * ( ) 0 1, C(name) for a column to be treated as categorical, and "
    "`any name` "
    'or Q("any name") for a name with other characters.'
)

# Dots as in names made by R; letters of any alphabet.
_TOKEN = re.compile(r"""\s*(?:(?P<quoted>`[^`]*`)|(?P<name>[^\W\d][\w.]*)|(?P<string>"[^"]*"|'[^']*')|(?P<other>\S))""")


Term = tuple[str, ...]
"""Columns of an interaction, in the order in which the formula names them; the empty term is the "
"intercept."""


@dataclass(frozen=True)
class Formula:
    """What a formula says.

    Parameters
    ----------
    text
        As given.
    terms
        Terms without the intercept, main effects first.
    intercept
        Whether the formula keeps its intercept.
    categorical
        Columns that the formula forces to be categorical.
    """

    text: str
    terms: tuple[Term, ...]
    intercept: bool
    categorical: frozenset[str]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the terms name, in order of first appearance."""
        return tuple(dict.fromkeys(column for term in self.terms for column in term))


def parse_formula(text: str) -> Formula:
    """Read a design formula.

    Raises
    ------
    DesignError
        The text is not of the grammar, is too long, or has no term beside the intercept.
    """
    if not isinstance(text, str):
        raise DesignError(f"a design formula must be text such as '~ batch + condition'; found {type(text).__name__}.")
    if len(text) > LONGEST:
        raise DesignError(f"a design formula must have at most {LONGEST} characters; this one has {len(text)}.")
    parser = _Parser(text)
    terms = parser.formula()
    named = tuple(sorted((term for term in terms if term), key=len))
    if not named:
        raise DesignError(f"a design formula must name a column to test; found {text!r}. Write '~ condition'.")
    return Formula(text, named, () in terms, frozenset(parser.categorical))


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = [match for match in _TOKEN.finditer(text) if match.lastgroup]
        self.position = 0
        self.depth = 0
        self.categorical: set[str] = set()

    def formula(self) -> list[Term]:
        if not self.tokens or self.peek() != "~":
            raise DesignError(f"a design formula must begin with '~'; found {self.text!r}. Write '~ condition'.")
        self.position = 1
        terms = self.sum([()])
        if self.position < len(self.tokens):
            raise self.unexpected()
        return terms

    def peek(self) -> str:
        if self.position == len(self.tokens):
            return ""
        match = self.tokens[self.position]
        return match[match.lastgroup or 0]

    def take(self, symbol: str) -> bool:
        if self.peek() == symbol:
            self.position += 1
            return True
        return False

    def unexpected(self) -> DesignError:
        if self.position == len(self.tokens):
            return DesignError(f"the design formula {self.text!r} ends too early. {GRAMMAR}")
        match = self.tokens[self.position]
        place = match.start(match.lastgroup or 0)
        found = self.text[place : place + 20]
        return DesignError(
            f"the design formula cannot hold {found!r} at character {place + 1} of {self.text!r}. {GRAMMAR}"
        )

    def sum(self, terms: list[Term]) -> list[Term]:
        sign = "-" if self.take("-") else "+"
        self.take("+")
        while True:
            product = self.product()
            # 0 is the intercept with its sign turned.
            changed = [()] if product is None else product
            if (sign == "+") == (product is not None):
                terms = _unique([*terms, *changed])
            else:
                gone = [set(term) for term in changed]
                terms = [term for term in terms if set(term) not in gone]
            if self.take("+"):
                sign = "+"
            elif self.take("-"):
                sign = "-"
            else:
                return terms

    def product(self) -> list[Term] | None:
        left = self.cross()
        while self.take("*"):
            right = self.cross()
            if left is None or right is None:
                raise self.unexpected()
            left = _unique([*left, *right, *_crossed(left, right)])
        return left

    def cross(self) -> list[Term] | None:
        left = self.atom()
        while self.take(":"):
            right = self.atom()
            if left is None or right is None:
                raise self.unexpected()
            left = _unique(_crossed(left, right))
        return left

    def atom(self) -> list[Term] | None:
        """Return the terms of an atom; None stands for 0, the absence of the intercept."""
        if self.take("0"):
            return None
        if self.take("1"):
            return [()]
        if self.take("("):
            self.depth += 1
            if self.depth > DEEPEST:
                raise DesignError(f"parentheses of a design formula must nest at most {DEEPEST} deep.")
            terms = self.sum([])
            if not self.take(")"):
                raise self.unexpected()
            self.depth -= 1
            return terms
        if self.peek() == "C" and self.follows("("):
            self.position += 2
            column = self.column()
            if not self.take(")"):
                raise self.unexpected()
            self.categorical.add(column)
            return [(column,)]
        return [(self.column(),)]

    def follows(self, symbol: str) -> bool:
        self.position += 1
        found = self.peek() == symbol
        self.position -= 1
        return found

    def column(self) -> str:
        if self.position == len(self.tokens):
            raise self.unexpected()
        kind, text = self.tokens[self.position].lastgroup, self.peek()
        if kind == "quoted":
            self.position += 1
            return text[1:-1]
        if kind == "name" and text == "Q" and self.follows("("):
            self.position += 2
            if self.position == len(self.tokens) or self.tokens[self.position].lastgroup != "string":
                raise self.unexpected()
            column = self.peek()[1:-1]
            self.position += 1
            if not self.take(")"):
                raise self.unexpected()
            return column
        if kind == "name" and not self.follows("("):
            self.position += 1
            return text
        raise self.unexpected()


def _crossed(left: list[Term], right: list[Term]) -> list[Term]:
    return [tuple(dict.fromkeys(first + second)) for first in left for second in right]


def _unique(terms: list[Term]) -> list[Term]:
    """Drop repeated terms; ``a:b`` and ``b:a`` are one."""
    seen: dict[frozenset[str], Term] = {}
    for term in terms:
        seen.setdefault(frozenset(term), term)
        if len(seen) > MOST_TERMS:
            raise DesignError(f"a design formula must have at most {MOST_TERMS} terms; it expands to more.")
    return list(seen.values())
