"""A small program and how the tests of the front end run it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

TRIALS: dict[str, Any] = {"N": 10, "y": [0, 1, 0, 0, 0, 0, 0, 0, 0, 1], "slow": 0}

# `slow` makes one evaluation of the density last for many minutes.
BERNOULLI = """
data {
  int<lower=0> N;
  array[N] int<lower=0, upper=1> y;
  int slow;
}
parameters {
  real<lower=0, upper=1> theta;
}
model {
  real steps = 0;
  while (slow && steps < 1e12) {
    steps += 1;
  }
  theta ~ beta(1, 1);
  y ~ bernoulli(theta);
}
generated quantities {
  vector[3] shifted = [theta, theta + 1, theta + 2]';
}
"""


class Compile(Protocol):
    """Compile a program's text through the cache."""

    def __call__(self, code: str, name: str = ...) -> Path: ...


class Home(Protocol):
    """A tool chain's folder."""

    home: Path
    kind: str


def run(exe: Path, *words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([exe, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=120)


def rows(file: Path) -> NDArray[np.float64]:
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    return np.array([[float(field) for field in line.split(",")] for line in lines[1:]])


def comments(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line.startswith("#")]
