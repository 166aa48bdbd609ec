"""From statements about the world to the prior that they determine: "P(tau > 1) = 0.01" and its like.

A family with one number takes one statement, a family with two takes two. Statements are read, never evaluated::

    P(tau > 1) = 0.01      P(theta < 0.4) = 95 %      P(2 < mu < 7) = 0.95
    E(theta) = 1/5         sd(mu) = 2                 median(rate) = 3

Where two members of a family meet the statements (a gamma with its mean and one tail may), the less extreme one, of the
larger shape, is taken.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from bayesexpr.errors import OptionError
from bayesexpr.models.priors import (
    Beta,
    Dirichlet,
    Exponential,
    Gamma,
    HalfNormal,
    InverseGamma,
    LogNormal,
    Normal,
    Prior,
)

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?:\s*/\s*\d+(?:\.\d*)?)?\s*%?"
_NAME = r"[A-Za-z_][A-Za-z0-9_\[\]]*"
_TAIL = re.compile(rf"P\(\s*({_NAME})\s*([<>])=?\s*({_NUMBER})\s*\)\s*=\s*({_NUMBER})")
_BETWEEN = re.compile(rf"P\(\s*({_NUMBER})\s*<=?\s*({_NAME})\s*<=?\s*({_NUMBER})\s*\)\s*=\s*({_NUMBER})")
_MOMENT = re.compile(rf"(E|sd|median)\(\s*({_NAME})\s*\)\s*=\s*({_NUMBER})")
_FORMS = "P(x > a) = p, P(x < a) = p, P(a < x < b) = p, E(x) = m, sd(x) = s, median(x) = m"
_TOLERANCE = 1e-7
_Vector = NDArray[np.float64]


@dataclass(frozen=True)
class _Statement:
    """One sentence: that P(low < x < high) is `value`, or that a moment is."""

    text: str
    name: str
    kind: str  # "P", "E" or "sd"
    value: float
    low: float = -math.inf
    high: float = math.inf

    def residual(self, x: Any) -> float:
        """Distance of a distribution from the statement on a scale without bounds."""
        if self.kind == "P":
            inside, outside = _log_probabilities(x, self.low, self.high)
            return float(inside - outside - math.log(self.value) + math.log1p(-self.value))
        if self.kind == "sd":
            return float(np.log(x.std()) - math.log(self.value))
        if x.support()[0] >= 0:
            return float(np.log(x.mean()) - math.log(self.value))
        return float((x.mean() - self.value) / x.std())

    def of(self, x: Any) -> str:
        """Write what a distribution has instead of `value`."""
        left = self.text.rpartition("=")[0].strip()
        if self.kind == "P":
            return f"{left} = {math.exp(_log_probabilities(x, self.low, self.high)[0]):.4g}"
        return f"{left} = {float(x.mean() if self.kind == 'E' else x.std()):.4g}"


@dataclass(frozen=True)
class _Family:
    """How to search a family: from a vector on the real line to its member, and where to start."""

    numbers: int
    make: Callable[[_Vector], Prior]
    low: float
    high: float
    starts: Callable[[float], list[tuple[float, ...]]]
    concentration: Callable[[_Vector], float]


def from_statement(statement: str | Sequence[str], family: str, size: int | None = None) -> Prior:
    """Return the member of a family that meets one or two statements.

    Parameters
    ----------
    statement
        One sentence, or as many as the family has numbers; all about one quantity.
    family
        exponential, half_normal (one number); normal, log_normal, gamma, inverse_gamma, beta (two); dirichlet
        (symmetric: one number; statements are about one of its proportions).
    size
        Number of proportions of a Dirichlet; taken from E(theta) = 1 / size where that is among the statements.

    Returns
    -------
    Prior

    Raises
    ------
    OptionError
        If a sentence cannot be read, there are too few or too many, they contradict each other, or no member of the
        family meets them; the message says which, and how near the family comes.

    Examples
    --------
    >>> from_statement("P(tau > 1) = 0.01", family="exponential").rate
    4.605170185988...
    """
    sentences = [_parse(text) for text in ([statement] if isinstance(statement, str) else statement)]
    name = family.replace("-", "_")
    names = {s.name for s in sentences}
    if len(names) > 1:
        raise OptionError(
            f"the statements of a prior are about one quantity; these are about {', '.join(sorted(names))}."
        )
    if name == "dirichlet":
        return _dirichlet(sentences, size)
    if name not in _FAMILIES:
        raise OptionError(
            f"there is no family {family!r} to take a prior from; there are: {', '.join(_FAMILIES)}, dirichlet."
        )
    return _solve(name, _FAMILIES[name], sentences)


def _parse(text: str) -> _Statement:
    plain = text.strip()
    if match := _TAIL.fullmatch(plain):
        bound = {"low": _number(match[3])} if match[2] == ">" else {"high": _number(match[3])}
        return _Statement(plain, match[1], "P", _probability(match[4], plain), **bound)
    if match := _BETWEEN.fullmatch(plain):
        low, high = _number(match[1]), _number(match[3])
        if not low < high:
            raise OptionError(f"an interval goes up; {plain!r} goes from {low:g} to {high:g}.")
        return _Statement(plain, match[2], "P", _probability(match[4], plain), low, high)
    if match := _MOMENT.fullmatch(plain):
        value = _number(match[3])
        if match[1] == "median":
            return _Statement(plain, match[2], "P", 0.5, high=value)
        if match[1] == "sd" and not value > 0:
            raise OptionError(f"a standard deviation is above zero; {plain!r} says {value:g}.")
        return _Statement(plain, match[2], match[1], value)
    raise OptionError(f"{text[:80]!r} is no statement about a prior. Forms: {_FORMS}.")


def _number(text: str) -> float:
    plain, percent = text.strip().rstrip("%").strip(), "%" in text
    top, _, bottom = plain.partition("/")
    below = float(bottom) if bottom else 1.0
    if below == 0:
        raise OptionError(f"{text.strip()!r} divides by zero.")
    return float(top) / below / (100.0 if percent else 1.0)


def _probability(text: str, sentence: str) -> float:
    value = _number(text)
    if not 0 < value < 1:
        raise OptionError(f"a probability lies between 0 and 1; {sentence!r} says {value:g}.")
    return value


def _log_probabilities(x: Any, low: float, high: float) -> tuple[float, float]:
    """Log probability inside and outside of (low, high), bounded so that searches keep a slope."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if low == -math.inf:
            inside, outside = x.logcdf(high), x.logsf(high)
        elif high == math.inf:
            inside, outside = x.logsf(low), x.logcdf(low)
        else:
            inside = np.log(x.cdf(high) - x.cdf(low))
            outside = np.logaddexp(x.logcdf(low), x.logsf(high))
    return float(max(np.nan_to_num(inside, nan=-700.0), -700.0)), float(max(np.nan_to_num(outside, nan=-700.0), -700.0))


def _solve(name: str, family: _Family, sentences: list[_Statement]) -> Prior:
    wanted = family.numbers
    if len(sentences) != wanted:
        raise OptionError(
            f"{name} has {wanted} number{'s' * (wanted > 1)} and takes as many statements; there "
            f"{'is' if len(sentences) == 1 else 'are'} {len(sentences)}."
        )
    _check_sense(name, family, sentences)
    scale = _typical([v for s in sentences for v in _places(s)])

    def residuals(x: _Vector) -> _Vector:
        with np.errstate(all="ignore"):
            distribution = family.make(x).frozen()
            return np.nan_to_num([s.residual(distribution) for s in sentences], nan=1e3, posinf=1e3, neginf=-1e3)

    best: tuple[float, _Vector] | None = None
    solutions: list[_Vector] = []
    for start in family.starts(scale):
        try:
            found = optimize.least_squares(residuals, start, xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=300)
        except (OptionError, ValueError, OverflowError):  # the search left the numbers that a member may have
            continue
        worst = float(np.abs(found.fun).max())
        if worst < _TOLERANCE:
            solutions.append(found.x)
        if best is None or worst < best[0]:
            best = (worst, found.x)
    if solutions:
        return family.make(max(solutions, key=family.concentration))
    near = "" if best is None else _nearest(family.make(best[1]), sentences)
    raise OptionError(f"no {name} meets {_listed(sentences)}{near}.")


def _nearest(prior: Prior, sentences: list[_Statement]) -> str:
    x = prior.frozen()
    return f"; the nearest found, {prior}, has {' and '.join(s.of(x) for s in sentences)}"


def _check_sense(name: str, family: _Family, sentences: list[_Statement]) -> None:
    """Refuse what no distribution on the family's support can be, in words that say so."""
    for s in sentences:
        for value in _places(s):
            if not family.low < value < family.high:
                raise OptionError(
                    f"values of the family {name} lie between {family.low:g} and {family.high:g}; {s.text!r} is about "
                    f"{value:g}."
                )
    above = sorted(((s.low, s.value) if s.high == math.inf else (s.high, 1 - s.value), s) for s in _tails(sentences))
    for ((a, p), first), ((b, q), second) in pairwise(above):
        if (a == b and p != q) or (a < b and q >= p):
            raise OptionError(
                f"{first.text!r} and {second.text!r} contradict each other: that is P(x > {a:g}) = {p:g} and "
                f"P(x > {b:g}) = {q:g}."
            )
    means = [s for s in sentences if s.kind == "E"]
    for s in _tails(sentences):
        if means and family.low >= 0 and s.high == math.inf and s.value > means[0].value / s.low:
            raise OptionError(
                f"nothing above zero meets {_listed(sentences)}: with that mean, P(x > {s.low:g}) is at most "
                f"{means[0].value / s.low:g} (Markov's inequality)."
            )


def _tails(sentences: list[_Statement]) -> list[_Statement]:
    return [s for s in sentences if s.kind == "P" and math.inf in (-s.low, s.high)]


def _places(s: _Statement) -> list[float]:
    """Values of the quantity that a statement is about."""
    if s.kind == "P":
        return [v for v in (s.low, s.high) if math.isfinite(v)]
    return [s.value] if s.kind == "E" else []


def _typical(values: list[float]) -> float:
    return float(np.median(values)) if values else 1.0


def _listed(sentences: list[_Statement]) -> str:
    return " and ".join(repr(s.text) for s in sentences)


def _dirichlet(sentences: list[_Statement], size: int | None) -> Prior:
    means = [s for s in sentences if s.kind == "E"]
    others = [s for s in sentences if s.kind != "E"]
    if means:
        implied = 1 / means[0].value if means[0].value > 0 else 0.0
        if implied < 1.5 or abs(implied - round(implied)) > 1e-6 * implied:
            raise OptionError(
                f"the proportions of a symmetric Dirichlet have mean 1 / size, size 2 or more; {means[0].text!r} is "
                "none of these."
            )
        if size is not None and size != round(implied):
            raise OptionError(f"{means[0].text!r} says that there are {round(implied)} proportions; size is {size}.")
        size = round(implied)
    if size is None or size < 2 or len(others) != 1:
        raise OptionError(
            "a symmetric Dirichlet takes its size (two or more, or E(theta) = 1 / size) and one statement about the "
            f"spread of a proportion; there are {_listed(sentences)} and size {size}."
        )
    rest = size - 1
    family = _Family(
        numbers=1,
        make=lambda x: Beta(math.exp(x[0]), rest * math.exp(x[0])),
        low=0.0,
        high=1.0,
        starts=lambda _: [(v,) for v in np.linspace(-6, 8, 15)],
        concentration=lambda x: float(x[0]),
    )
    found = _solve("symmetric dirichlet", family, others)
    return Dirichlet(found.numbers()[0], found.numbers()[0])


def _normal(mean: float, sd: float) -> Normal:
    """Return a normal whose mean is zero where the search only came near it."""
    return Normal(mean if abs(mean) > 1e-12 * sd else 0.0, sd)


def _log(value: float) -> float:
    return math.log(abs(value)) if value else 0.0


def _spread(center: float) -> list[tuple[float, ...]]:
    """Return starts for a location and a log scale, from narrow to wide."""
    width = _log(center) if center else 0.0
    return [(center, width + v) for v in (-4.0, -1.0, 0.0, 1.0, 4.0)]


def _positive(scale: float) -> list[tuple[float, ...]]:
    """Return starts for a log shape and a log mean."""
    return [(shape, _log(scale) + mean) for shape, mean in product(np.linspace(-8, 8, 9), (-4.0, 0.0, 4.0))]


_FAMILIES = {
    "exponential": _Family(
        1,
        lambda x: Exponential(math.exp(x[0])),
        0.0,
        math.inf,
        lambda s: [(-_log(s) + v,) for v in (0.0, 5.0)],
        lambda x: 0.0,
    ),
    "half_normal": _Family(
        1,
        lambda x: HalfNormal(math.exp(x[0])),
        0.0,
        math.inf,
        lambda s: [(_log(s) + v,) for v in (0.0, -5.0)],
        lambda x: 0.0,
    ),
    "normal": _Family(
        2, lambda x: _normal(float(x[0]), math.exp(x[1])), -math.inf, math.inf, _spread, lambda x: -float(x[1])
    ),
    "log_normal": _Family(
        2,
        lambda x: LogNormal(float(x[0]), math.exp(x[1])),
        0.0,
        math.inf,
        lambda s: [(_log(s), v) for v in (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0)],
        lambda x: -float(x[1]),
    ),
    "gamma": _Family(
        2, lambda x: Gamma(math.exp(x[0]), math.exp(x[0] - x[1])), 0.0, math.inf, _positive, lambda x: float(x[0])
    ),
    "inverse_gamma": _Family(
        2,
        lambda x: InverseGamma(1.0 + math.exp(x[0]), math.exp(x[0] + x[1])),
        0.0,
        math.inf,
        _positive,
        lambda x: float(x[0]),
    ),
    "beta": _Family(
        2,
        lambda x: Beta(math.exp(x[1]) / (1 + math.exp(-x[0])), math.exp(x[1]) / (1 + math.exp(x[0]))),
        0.0,
        1.0,
        lambda s: [(math.log(s / (1 - s)) + v, c) for v, c in product((-3.0, 0.0, 3.0), np.linspace(-6, 14, 11))],
        lambda x: float(x[1]),
    ),
}
"""Vectors searched: of one-number families the logarithm of the number; gamma: log shape, log mean; inverse gamma: log
of shape - 1, so that it has a mean, and log mean; beta: logit of the mean, log of the sum of both shapes."""
