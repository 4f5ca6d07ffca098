"""The figures of all limits, made once from the settings, and what a store answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from service.limits.arithmetic import SECOND_US, Lockout, Rate, divided, per
from service.settings import Settings

LEAK_S = 60  # an address gets one failure back every minute
PAIR_LEAK_S = 900
KNOWN_S = 14 * 86_400

Reason = Literal["", "address", "account", "pair_locked", "address_locked"]
Outcome = Literal["success", "failure", "neither"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What one store is held to."""

    address: Rate
    refresh: Rate
    account: Rate
    pair_lockout: Lockout
    address_lockout: Lockout

    def divided(self, parts: int) -> Rules:
        """The rates of one of `parts` processes that do not know of each other. Lock-outs are not divided."""
        return Rules(
            divided(self.address, parts),
            divided(self.refresh, parts),
            divided(self.account, parts),
            self.pair_lockout,
            self.address_lockout,
        )


@dataclass(frozen=True, slots=True)
class Names:
    """Keyed hashes: whoever reads the store learns neither who logs in nor from where."""

    address: str
    account: str
    pair: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`limit`, `left` and `full_in_us` are the address's bucket; `wait_us` is 0 where the request may go on."""

    reason: Reason
    wait_us: int
    limit: int
    left: int
    full_in_us: int
    is_shared: bool = False  # decided for the whole cell, not for this process alone

    @property
    def is_allowed(self) -> bool:
        return self.reason == ""


class Store(Protocol):
    """Where buckets and strikes are kept. Neither method raises for a store that is away."""

    async def take(self, name: str, rate: Rate) -> Verdict:
        """One request against one bucket."""
        ...

    async def attempt(self, names: Names) -> Verdict:
        """A log-in is about to be tried: refused, or counted as if it failed already."""
        ...

    async def settle(self, names: Names, verdict: Verdict, outcome: Outcome) -> None:
        """How it ended. To be called once for every attempt that was allowed, with the verdict that allowed it."""
        ...


def read_rules(settings: Settings) -> Rules:
    def lockout(free: int, leak_s: int) -> Lockout:
        base_us, max_us = settings.lockout_base_s * SECOND_US, settings.lockout_max_s * SECOND_US
        return Lockout(free, base_us, max_us, leak_s * SECOND_US)

    return Rules(
        per(settings.rate_limit_address_per_minute, 60),
        per(settings.rate_limit_refresh_per_minute, 60),
        per(settings.rate_limit_account_per_hour, 3600),
        lockout(settings.lockout_pair_failures, PAIR_LEAK_S),
        lockout(settings.lockout_address_failures, LEAK_S),
    )
