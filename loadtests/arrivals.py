"""When requests should start: decided before the run, independent of how fast the service answers."""

from __future__ import annotations

import random
from collections.abc import Iterator


def schedule(kind: str, rate_per_s: float, duration_s: float, seed: str) -> Iterator[float]:
    """Intended start times in seconds from 0, ascending, below duration_s. The same seed gives the same times.

    poisson: independent users, gaps are exponential. uniform: even gaps with a seeded phase, so that two regions or scenarios
    do not beat in step.
    """
    rng = random.Random(seed)  # noqa: S311  arrival times are no secret, and must come again
    gap_s = 1 / rate_per_s
    at_s = rng.random() * gap_s if kind == "uniform" else rng.expovariate(rate_per_s)
    while at_s < duration_s:
        yield at_s
        at_s += gap_s if kind == "uniform" else rng.expovariate(rate_per_s)


def zipf_weights(n: int, exponent: float = 1.0) -> list[float]:
    """Cumulative weights: a few users make most of the requests, as in life. For random.choices(cum_weights=...)."""
    total = 0.0
    cumulative = []
    for rank in range(1, n + 1):
        total += rank**-exponent
        cumulative.append(total)
    return cumulative
