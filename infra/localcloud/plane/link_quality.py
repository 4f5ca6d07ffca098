"""How a link between two regions behaves, and what one connection through it meets. Pure.

cut          connections are reset and new ones refused: a broken router that says so
partitioned  nothing arrives and nobody is told: new connections hang, open ones fall silent and go on when it heals
loss_rate    this share of the connections breaks: while opening, or after a few answers, when the request was acted on
jitter_ms    each way takes up to half of it longer, so that a round trip takes rtt_ms to rtt_ms + jitter_ms
"""

from __future__ import annotations

import random

import msgspec

ANSWERS_BEFORE_LOSS_MAX = 5
RTT_MS_MAX = JITTER_MS_MAX = 10_000.0


class LinkQuality(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"is_cut": "cut", "is_partitioned": "partitioned"}
):
    """One ordered pair of regions: connections opened in the first towards the second. `seed` None: another story each time."""

    rtt_ms: float = 20.0
    jitter_ms: float = 0.0
    loss_rate: float = 0.0
    seed: int | None = None
    is_cut: bool = False
    is_partitioned: bool = False

    def __post_init__(self) -> None:
        for name, value, most in (
            ("rtt_ms", self.rtt_ms, RTT_MS_MAX),
            ("jitter_ms", self.jitter_ms, JITTER_MS_MAX),
            ("loss_rate", self.loss_rate, 1.0),
        ):
            if not 0 <= value <= most:
                raise ValueError(f"{name}: expected 0 to {most:g}, got {value:g}")

    @property
    def healed(self) -> LinkQuality:
        """Without its faults: the distance stays."""
        return LinkQuality(rtt_ms=self.rtt_ms)


class Dice:
    """What happens to the connections of one listener, in the order in which they come."""

    def __init__(self, quality: LinkQuality, story: str) -> None:
        """`story` tells the listeners of one link apart, so that a seed means the same whatever else runs."""
        self._quality = quality
        self._random = random.Random(None if quality.seed is None else f"{quality.seed}|{story}")  # noqa: S311 - a fault, no secret

    def answers_before_loss(self) -> int | None:
        """For the next connection: None when it stays whole, 0 when it breaks while opening."""
        thrown, answers = self._random.random(), self._random.randint(0, ANSWERS_BEFORE_LOSS_MAX)
        return answers if thrown < self._quality.loss_rate else None

    def one_way_s(self) -> float:
        """For the next bytes. Whoever sends them keeps their order."""
        return (self._quality.rtt_ms + self._random.random() * self._quality.jitter_ms) / 2000
