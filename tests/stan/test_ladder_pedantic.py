"""stanc's pedantic mode over every variant of the ladder: what it says is allowed for a reason or is a failure."""

from __future__ import annotations

import itertools
import re
import subprocess
from pathlib import Path

import pytest

from bayesexpr.models import registry
from bayesexpr.stan.program import render
from bayesexpr.stan.toolchain import Toolchain

pytestmark = pytest.mark.needs_stan

LADDER = (
    "beta_binomial",
    "gamma_poisson",
    "dirichlet_multinomial",
    "hierarchical_expression",
    "negative_binomial_de",
    "zero_inflated_negative_binomial",
    "gaussian_linear",
    "variance_components",
    "adaptive_shrinkage",
)
ALLOWED = {
    # the numbers of priors are data, which stanc itself says may be the reason of a false alarm; that each parameter
    # has its prior is checked against the twin's density
    r"The parameter \w+ has no priors\. This means either no prior is provided, or the prior\(s\) depend on data "
    r"variables\. In the later case, this may be a false positive\.",
    # log_gamma_p sums its series until a term no longer counts, and beyond its range returns the limit to 1e-25: where
    # it stops changes nothing that a float holds
    r"A control flow statement inside function log_gamma_p depends on argument [ax]\. .*",
    # scales are exponentials of zeta: the truncation of their priors at zero, a control flow that stanc also takes for
    # a second statement about s, never binds
    r"A control flow statement depends on parameter\(s\): zeta\.",
    r"The parameter s is on the left-hand side of more than one tilde statement\.",
    # it goes through the columns of change, whose number is fixed
    r"A control flow statement inside function component_log_lik depends on argument change\. .*",
}


def warnings_of(stanc: Path, code: str, folder: Path) -> list[str]:
    file = folder / "model.stan"
    file.write_text(code)
    done = subprocess.run(
        [stanc, "--warn-pedantic", "--allow-undefined", "--o=/dev/null", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text = re.sub(r"\s+", " ", done.stderr + done.stdout)
    found = [
        w.strip() for w in re.split(r"Warning in '[^']*', line \d+, column \d+ to [\w, ]*?column \d+:|Warning:", text)
    ]
    return [w for w in found if w]


@pytest.mark.parametrize("name", LADDER)
def test_every_variant_passes(name: str, toolchain: Toolchain, tmp_path: Path) -> None:
    options = registry.get(name).OPTIONS
    for chosen in itertools.product(*(option.choices for option in options.values())):
        asked = dict(zip(options, chosen, strict=True))
        code = render(name, asked).code
        left = [
            w
            for w in warnings_of(toolchain.home / "bin" / "stanc", code, tmp_path)
            if not any(re.fullmatch(rule, w) for rule in ALLOWED)
        ]
        assert left == []


def test_a_real_fault_is_not_allowed(toolchain: Toolchain, tmp_path: Path) -> None:
    code = "parameters { real x; real<lower=0> y; } model { x ~ normal(0, -1); y ~ uniform(0, 2); }"
    found = warnings_of(toolchain.home / "bin" / "stanc", code, tmp_path)
    assert any(not any(re.fullmatch(rule, w) for rule in ALLOWED) for w in found)
