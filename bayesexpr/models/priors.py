"""Families of prior distributions: what a user may write and what a simulator draws from."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from bayesexpr.errors import OptionError


@dataclass(frozen=True)
class Prior:
    """A distribution with its numbers; subclasses name the family as the command line writes it."""

    family: ClassVar[str]

    def frozen(self) -> Any:
        """Return the SciPy distribution."""
        raise NotImplementedError

    def draw(self, rng: np.random.Generator, size: int | tuple[int, ...] | None = None) -> NDArray[np.float64]:
        """Draw values of shape `size`."""
        return np.asarray(self.frozen().rvs(size=size, random_state=rng), dtype=float)

    def logpdf(self, x: Any) -> NDArray[np.float64]:
        """Log density at x."""
        return np.asarray(self.frozen().logpdf(x), dtype=float)

    def numbers(self) -> tuple[float, ...]:
        """Return the parameters in the order in which they are written."""
        return tuple(getattr(self, f.name) for f in fields(self))

    def text(self) -> str:
        """Return the prior as :func:`parse_prior` reads it, with all digits."""
        return f"{self.family}({', '.join(repr(float(n)) for n in self.numbers())})"

    def __str__(self) -> str:
        return f"{self.family}({', '.join(f'{n:g}' for n in self.numbers())})"


@dataclass(frozen=True)
class Normal(Prior):
    """Normal with mean and standard deviation."""

    mean: float
    sd: float
    family: ClassVar[str] = "normal"

    def __post_init__(self) -> None:
        _finite(self, mean=self.mean)
        _positive(self, sd=self.sd)

    def frozen(self) -> Any:
        """Return the SciPy distribution."""
        return stats.norm(self.mean, self.sd)

    def logpdf(self, x: Any) -> NDArray[np.float64]:
        """Log density at x, without the cost of a SciPy object."""
        return _normal_logpdf(np.asarray(x, dtype=float), self.mean, self.sd)


@dataclass(frozen=True)
class HalfNormal(Prior):
    """Normal with mean zero, above zero only."""

    sd: float
    family: ClassVar[str] = "half_normal"

    def __post_init__(self) -> None:
        _positive(self, sd=self.sd)

    def frozen(self) -> Any:
        """Return the SciPy distribution."""
        return stats.halfnorm(scale=self.sd)

    def logpdf(self, x: Any) -> NDArray[np.float64]:
        """Log density at x; minus infinity below zero."""
        x = np.asarray(x, dtype=float)
        return np.asarray(np.where(x >= 0, _normal_logpdf(x, 0.0, self.sd) + math.log(2.0), -np.inf))


@dataclass(frozen=True)
class LogNormal(Prior):
    """Log-normal; `log_mean` and `log_sd` are those of the natural logarithm; cut off above `upper`."""

    log_mean: float
    log_sd: float
    upper: float = math.inf
    family: ClassVar[str] = "log_normal"

    def __post_init__(self) -> None:
        _finite(self, log_mean=self.log_mean)
        _positive(self, log_sd=self.log_sd)
        if not self.upper > 0:
            raise OptionError(f"upper of log_normal must be above zero; it is {self.upper}.")

    def frozen(self) -> Any:
        """Return the SciPy distribution without the bound."""
        return stats.lognorm(self.log_sd, scale=math.exp(self.log_mean))

    def draw(self, rng: np.random.Generator, size: int | tuple[int, ...] | None = None) -> NDArray[np.float64]:
        """Draw by inversion, so that the bound costs no rejections."""
        untruncated = self.frozen()
        return np.asarray(untruncated.ppf(rng.uniform(0, untruncated.cdf(self.upper), size=size)))

    def logpdf(self, x: Any) -> NDArray[np.float64]:
        """Log density at x; minus infinity above the bound and at or below zero."""
        x = np.asarray(x, dtype=float)
        inside = (x > 0) & (x <= self.upper)
        log_x = np.log(np.where(inside, x, 1.0))
        mass = special.log_ndtr((math.log(self.upper) - self.log_mean) / self.log_sd)
        return np.asarray(np.where(inside, _normal_logpdf(log_x, self.log_mean, self.log_sd) - log_x - mass, -np.inf))


@dataclass(frozen=True)
class Exponential(Prior):
    """Exponential with its rate."""

    rate: float
    family: ClassVar[str] = "exponential"

    def __post_init__(self) -> None:
        _positive(self, rate=self.rate)

    def frozen(self) -> Any:
        """Return the SciPy distribution."""
        return stats.expon(scale=1 / self.rate)

    def logpdf(self, x: Any) -> NDArray[np.float64]:
        """Log density at x; minus infinity below zero."""
        x = np.asarray(x, dtype=float)
        return np.asarray(np.where(x >= 0, math.log(self.rate) - self.rate * x, -np.inf))


@dataclass(frozen=True)
class Gamma(Prior):
    """Gamma with shape and rate."""

    shape: float
    rate: float
    family: ClassVar[str] = "gamma"

    def __post_init__(self) -> None:
        _positive(self, shape=self.shape, rate=self.rate)

    def frozen(self) -> Any:
        """Return the SciPy distribution."""
        return stats.gamma(self.shape, scale=1 / self.rate)


@dataclass(frozen=True)
class InverseGamma(Prior):
    """Inverse gamma with shape and scale."""

    shape: float
    scale: float
    family: ClassVar[str] = "inverse_gamma"

    def __post_init__(self) -> None:
        _positive(self, shape=self.shape, scale=self.scale)

    def frozen(self) -> Any:
        """Return the SciPy distribution."""
        return stats.invgamma(self.shape, scale=self.scale)


@dataclass(frozen=True)
class Beta(Prior):
    """Beta with its two shapes."""

    a: float
    b: float
    family: ClassVar[str] = "beta"

    def __post_init__(self) -> None:
        _positive(self, a=self.a, b=self.b)

    def frozen(self) -> Any:
        """Return the SciPy distribution."""
        return stats.beta(self.a, self.b)


@dataclass(frozen=True)
class Dirichlet(Prior):
    """Dirichlet: concentration of the first element and, shared, of each of the others."""

    first: float
    others: float
    family: ClassVar[str] = "dirichlet"

    def __post_init__(self) -> None:
        _positive(self, first=self.first, others=self.others)

    def concentration(self, size: int) -> NDArray[np.float64]:
        """Return the vector of concentrations of a simplex of `size` elements."""
        return np.concatenate([[self.first], np.full(size - 1, self.others)])


FAMILIES: dict[str, type[Prior]] = {
    c.family: c for c in (Normal, HalfNormal, LogNormal, Exponential, Gamma, InverseGamma, Beta, Dirichlet)
}


def parse_prior(text: str) -> Prior:
    """Read ``family(number, number)``, as the command line writes a prior.

    Raises
    ------
    OptionError
        If the family does not exist or the numbers are not those it takes.
    """
    match = re.fullmatch(r"\s*([a-z_]+)\s*\(([^()]*)\)\s*", text)
    if match is None or match[1] not in FAMILIES:
        raise OptionError(
            f"a prior is written family(numbers); {text!r} is not. Families: {', '.join(sorted(FAMILIES))}."
        )
    family = FAMILIES[match[1]]
    try:
        numbers = [float(n) for n in match[2].split(",")]
        return family(*numbers)
    except (TypeError, ValueError) as error:
        wanted = ", ".join(f.name for f in fields(family))
        raise OptionError(f"{match[1]} takes ({wanted}); {text!r} does not give them: {error}") from None


def _normal_logpdf(x: NDArray[np.float64], mean: float, sd: float) -> NDArray[np.float64]:
    return np.asarray(-0.5 * ((x - mean) / sd) ** 2 - math.log(sd) - 0.5 * math.log(2 * math.pi))


def _positive(prior: Prior, **values: float) -> None:
    _finite(prior, **values)
    for name, value in values.items():
        if not value > 0:
            raise OptionError(f"{name} of {prior.family} must be above zero; it is {value}.")


def _finite(prior: Prior, **values: float) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise OptionError(f"{name} of {prior.family} must be a finite number; it is {value}.")
