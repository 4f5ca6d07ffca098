"""Limits in this process's own memory: bounded, synchronous at heart, and the reference for what the Lua scripts do.

A refused attempt changes nothing. An allowed one is counted as a failure of the pair and of the account before it is sent, so
that a thousand at the same time cannot all slip through before the first has failed; `settle` takes it back where it did not.
"""

from __future__ import annotations

from collections.abc import Callable

from cachebox import LRUCache

from service.limits.arithmetic import Rate, Strikes, given_back, left, pardoned, struck, taken, wait_us
from service.limits.rules import KNOWN_S, Names, Outcome, Reason, Rules, Verdict

ENTRIES_MAX = 20_000


class LocalStore:
    """`now_us`: the wall clock in whole microseconds."""

    def __init__(self, rules: Rules, now_us: Callable[[], int], entries_max: int = ENTRIES_MAX) -> None:
        self._rules = rules
        self._now_us = now_us
        self._buckets: LRUCache[str, int] = LRUCache(entries_max)
        self._strikes: LRUCache[str, Strikes] = LRUCache(entries_max)
        self._known: LRUCache[str, int] = LRUCache(entries_max)

    async def take(self, name: str, rate: Rate) -> Verdict:
        now_us = self._now_us()
        wait = wait_us(self._buckets.get(name, 0), now_us, rate)
        if rate.burst and not wait:
            self._buckets[name] = taken(self._buckets.get(name, 0), now_us, rate)
        return self._said("address" if wait else "", wait, name, rate, now_us)

    async def attempt(self, names: Names) -> Verdict:
        rules, now_us = self._rules, self._now_us()
        is_known = self._known.get(names.pair, 0) > now_us
        waits: list[tuple[int, Reason]] = [
            (wait_us(self._buckets.get(names.address, 0), now_us, rules.address), "address"),
            (self._locked_us(names.pair, now_us), "pair_locked"),
        ]
        if not is_known:
            waits.append((wait_us(self._buckets.get(names.account, 0), now_us, rules.account), "account"))
            waits.append((self._locked_us(names.address, now_us), "address_locked"))
        wait, reason = max(waits, key=lambda found: found[0])
        if wait:
            return self._said(reason, wait, names.address, rules.address, now_us)
        if rules.address.burst:
            self._buckets[names.address] = taken(self._buckets.get(names.address, 0), now_us, rules.address)
        if rules.account.burst and not is_known:
            self._buckets[names.account] = taken(self._buckets.get(names.account, 0), now_us, rules.account)
        if rules.pair_lockout.free:
            self._strikes[names.pair] = struck(self._strikes.get(names.pair, Strikes()), now_us, rules.pair_lockout)
        return self._said("", 0, names.address, rules.address, now_us)

    async def settle(self, names: Names, _verdict: Verdict, outcome: Outcome) -> None:
        rules, now_us = self._rules, self._now_us()
        is_known = self._known.get(names.pair, 0) > now_us
        if outcome == "failure":
            if rules.address_lockout.free and not is_known:
                found = self._strikes.get(names.address, Strikes())
                self._strikes[names.address] = struck(found, now_us, rules.address_lockout)
            return
        if rules.account.burst and not is_known and names.account in self._buckets:
            self._buckets[names.account] = given_back(self._buckets[names.account], now_us, rules.account)
        if outcome == "success":
            self._strikes.pop(names.pair, None)
            self._known[names.pair] = now_us + KNOWN_S * 1_000_000
        elif names.pair in self._strikes:
            self._strikes[names.pair] = pardoned(self._strikes[names.pair], now_us, rules.pair_lockout)

    def _locked_us(self, name: str, now_us: int) -> int:
        return max(0, self._strikes.get(name, Strikes()).locked_until_us - now_us)

    def _said(self, reason: Reason, wait: int, name: str, rate: Rate, now_us: int) -> Verdict:
        full_at_us = self._buckets.get(name, 0)
        return Verdict(reason, wait, rate.burst, left(full_at_us, now_us, rate), max(0, full_at_us - now_us))
