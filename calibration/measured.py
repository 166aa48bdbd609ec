"""A finding with how near it is to its limit, so that the weakest point can be named even where all is well."""

from __future__ import annotations

from dataclasses import dataclass, field

from bayesexpr.posterior.verdict import Finding


@dataclass(frozen=True)
class Measured(Finding):
    """What a check found.

    Attributes
    ----------
    ratio : float
        What was measured over its limit; zero where there is nothing to measure.
    """

    ratio: float = 0.0
    topic: str = field(default="prediction", kw_only=True)


def weakness(finding: Finding) -> tuple[int, float]:
    """Order findings by: the weakest is the largest. The sampler's own diagnostics outrank what is built on them."""
    if isinstance(finding, Measured):
        return finding.severity, finding.ratio
    return finding.severity, float("inf") if finding.severity else 0.0
