"""Who may ask now: the limits as the web layer uses them.

Theory of operation
-------------------
An attacker who guesses passwords comes in three shapes, and each meets another limit:

- many passwords for one account from one address: the *pair* of both is locked, for longer each time;
- many accounts from one address (stuffing): the *address* is locked once it has failed LOCKOUT_ADDRESS_FAILURES times;
- one account from many addresses: what *strangers* may try on an account is limited by the hour.

The owner must not be locked out by any of them. A pair that has logged in is known for two weeks: neither the account's limit nor
the address's lock count for it, only its own failures. So whoever hammers on an account from elsewhere, or on other accounts from
the owner's office, keeps the owner out of nothing but first log-ins from new places, and those may still use a magic link or a
reset, which are limited by address alone. (Compare "device cookies" in OWASP's cheat sheets; an address needs no cookie.)
What is left: who guesses this very account from behind this very address locks the pair for both, LOCKOUT_MAX_S at a time.

Nothing here tells whether an account exists: what counts is the name that was typed and the issuer's `invalid_credentials`,
which it says of unknown names too.

Refused log-ins and sign-ups are 429 over_request_rate_limit, as the issuer's own. A refused refresh is 503: auth-js logs the user
out at any other refusal.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address

from service.errors import TooManyRequests, Unavailable
from service.limits.rules import Names, Outcome, Rules, Store, Verdict
from service.metrics.counters import Counters

NAME_BYTES = 12
ACCOUNT_CHARACTERS_MAX = 1024
_SECOND_US = 1_000_000

# GoTrue's word for a wrong password and an unknown account alike (older versions say invalid_grant), and for a wrong code.
FAILED_CODES = frozenset({"invalid_credentials", "invalid_grant", "otp_expired"})

Headers = list[tuple[bytes, bytes]]


class Gate:
    """One for the process. `key` keeps the names in the store from being guessed."""

    def __init__(self, store: Store, rules: Rules, key: str, counters: Counters) -> None:
        self._store = store
        self._rules = rules
        self._key = blake2b(key.encode(), digest_size=32, person=b"rate-limits").digest()
        self._counters = counters

    async def log_in(self, account: str, address: str) -> Attempt:
        """An attempt that may be made; its outcome must be told. TooManyRequests."""
        names = self._names(account, address)
        verdict = await self._store.attempt(names)
        self._raise_refusal(verdict)
        return Attempt(self._store, names, verdict)

    async def ask(self, address: str) -> Verdict:
        """Something else that costs the issuer work (a sign-up, a mail). TooManyRequests."""
        verdict = await self._store.take(self._name("address", network_of(address)), self._rules.address)
        self._raise_refusal(verdict)
        return verdict

    async def refresh(self, address: str) -> Verdict:
        """A refresh. Unavailable, because a refusal that is not retried ends the session at the client."""
        verdict = await self._store.take(self._name("refresh", network_of(address)), self._rules.refresh)
        if not verdict.is_allowed:
            self._count(verdict)
            raise Unavailable("limits", "too many requests from here; try again later", _seconds(verdict.wait_us))
        return verdict

    def _names(self, account: str, address: str) -> Names:
        network, person = network_of(address), normal_account(account)
        return Names(self._name("address", network), self._name("account", person), self._name("pair", person + "\0" + network))

    def _name(self, kind: str, text: str) -> str:
        return blake2b(f"{kind}\0{text}".encode(errors="replace"), digest_size=NAME_BYTES, key=self._key).hexdigest()

    def _raise_refusal(self, verdict: Verdict) -> None:
        if not verdict.is_allowed:
            self._count(verdict)
            raise TooManyRequests(_seconds(verdict.wait_us), limit_headers(verdict))

    def _count(self, verdict: Verdict) -> None:
        self._counters.limited[verdict.reason] = self._counters.limited.get(verdict.reason, 0) + 1


class Attempt:
    """One log-in that was let through."""

    def __init__(self, store: Store, names: Names, verdict: Verdict) -> None:
        self._store = store
        self._names = names
        self._verdict = verdict

    @property
    def headers(self) -> Headers:
        return limit_headers(self._verdict)

    async def ended(self, outcome: Outcome) -> None:
        await self._store.settle(self._names, self._verdict, outcome)


def outcome_of(status: int, code: str) -> Outcome:
    """How the issuer's answer counts. Only a definite "wrong" is a failure: a fault of ours or of the issuer is nobody's."""
    if status in (200, 201):
        return "success"
    return "failure" if status in (400, 401, 403, 422) and code in FAILED_CODES else "neither"


def normal_account(account: str) -> str:
    """One spelling of what the issuer takes for the same account: it lower-cases addresses, ignores + and blanks in numbers."""
    if "@" in account:
        return _lower(account[:ACCOUNT_CHARACTERS_MAX].strip())
    # Cut after the blanks are out: before, a thousand of them would leave a part of the number, and each part another account.
    return _lower("".join(account.replace("+", "").replace(" ", "")[:ACCOUNT_CHARACTERS_MAX].split()))


def _lower(text: str) -> str:
    """Letter by letter as Go's strings.ToLower does: Python's knows two letters for a dotted I, and two ends for a sigma."""
    return "".join("i" if letter == "\u0130" else letter.lower() for letter in text)


def network_of(address: str) -> str:
    """What counts as one caller: an IPv4 address, or an IPv6 /64, which is what a single customer has to choose from."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
    return str(parsed)


def limit_headers(verdict: Verdict) -> Headers:
    """X-RateLimit-* of the caller's address; nothing where it has no limit."""
    if not verdict.limit:
        return []
    left = verdict.left if verdict.is_allowed else 0
    return [
        (b"x-ratelimit-limit", b"%d" % verdict.limit),
        (b"x-ratelimit-remaining", b"%d" % left),
        (b"x-ratelimit-reset", b"%d" % _seconds(max(verdict.full_in_us, verdict.wait_us))),
    ]


def _seconds(span_us: int) -> int:
    return math.ceil(span_us / _SECOND_US)
