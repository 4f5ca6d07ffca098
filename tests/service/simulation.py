"""Replicas of the real code in a simulated world that goes wrong by a seed.

    python -m tests.service.simulation [--first 1000] [--seeds 500]

What is real: Front and everything behind it that answers for a token, logs out, revokes, or says what a user may do; so each
route with its own policy, both log-outs, and /me's choice between the primary and a standby. What is simulated: the primary
(transactions that commit late, snapshots, notices) with a standby that lags, the issuer, the links to all three, the processes
and their clocks. loadtests/history.py judges what came out. See tests/service/test_history.py for what a seed must hold, and for
broken variants that must be caught.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import math
import random
import time
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import cast

import structlog

from loadtests.history import Fault, History, Judgement, Kind, Revoked, Rule, Token, judge, must_end, percentile
from service.policies import ROUTES, Policies, RoutePolicy
from tests.service import issuing
from tests.service.simulated_replica import KEYS, ROUND_TRIPS_S, SimulatedReplica
from tests.service.simulated_servers import Issuer, LinkState
from tests.service.virtual import World

DURATION_S = 9.0
ASK_EVERY_S = 0.04
USERS = [f"{number}0000000-0000-4000-8000-000000000000" for number in range(1, 4)]
LINK_FAULTS = ("cut", "frozen", "slow", "flapping", "fading")
PROCESS_FAULTS = ("stopped", "killed")
REVOKED = ("session",) * 4 + ("user",) * 4 + ("key", "everyone")
ASKED = ("verify",) * 4 + ("me",) * 3 + ("user",) * 2 + ("strict",)


@dataclass(frozen=True, slots=True)
class Variant:
    """What a broken variant changes; the tests also break the code itself."""

    staleness_max_s: float = 2.0
    clock_stops_with_process: bool = False


class Plan:
    """Everything that happens under one seed."""

    def __init__(self, seed: int, variant: Variant) -> None:
        self.seed = seed
        self.variant = variant
        self.random = random.Random(seed)  # noqa: S311 - schedules, no secrets
        self.world = World()
        self.history = History()
        self.tasks: list[asyncio.Task[None]] = []
        self.issuer_skew_s = self.random.choice((0.0, self.random.uniform(0.0, 4.0)))
        self.notices_lost = self.random.choice((0.0, 0.0, 0.3, 1.0))
        self.policies: Policies = {route: RoutePolicy(self._is_so(0.15), self._is_so(0.5)) for route in ROUTES}
        rules = {route: Rule(policy.is_strict, policy.must_hear) for route, policy in self.policies.items()}
        self.history.rules.update(rules, strict=Rule(True, rules["verify"].must_hear))
        self.issuer = Issuer(self.world, self.history.tokens)
        self.issuer.is_watched = self._is_so(0.5)
        self.issuer.primary.standby.lag_s = self.random.choice((0.01, 0.2, 1.5))
        self._ways = (self._revoke, self._revoke_through_replica, self._log_out, self._log_out)
        self._touched: list[Token] = []
        self.replicas = [SimulatedReplica(self, name) for name in ROUND_TRIPS_S]

    def run(self) -> History:
        for number in range(9):
            self._log_in(USERS[number % 3], f"{number:08d}-1111-4111-8111-111111111111", 0.0)
        if self.notices_lost:
            self.history.faults.append(Fault("notices lost", None, 0.0, DURATION_S))
        for _ in range(self.random.randint(0, 3)):
            self._plan_fault()
        if self._is_so(0.5):
            self._plan_replay_pause()
        for _ in range(self.random.randint(2, 4)):
            self.world.at(self.random.uniform(1.0, DURATION_S - 4.0), self.random.choice(self._ways))
        for number in range(self.random.randint(1, 3)):
            self._plan_role(f"role{number}", self.random.uniform(0.5, DURATION_S - 4.5))
        for replica in self.replicas:
            self._ask(replica)
        self.world.run(DURATION_S)
        self._check_programs()
        return self.history

    def roles_of(self, user: str) -> list[Token]:
        """What may be asked of /me: each role that was granted, or is being so, once and for all."""
        return [token for token in self.history.tokens.values() if token.spreads and token.key == user]

    def acknowledged(self, revoked: Revoked) -> None:
        revoked.acknowledged_at = self.world.now
        keys = sorted(set(KEYS) - {one.subject for one in self.history.revocations if one.kind == "key"})
        if revoked.kind != "role" and keys:  # whoever was thrown out logs in again at once
            user = revoked.subject if revoked.kind == "user" else self.random.choice(USERS)
            session = f"{len(self.history.tokens):08d}-2222-4222-8222-222222222222"
            self._log_in(user, session, self.world.now + 1e-6, self.random.choice(keys))

    def _is_so(self, share: float) -> bool:
        return self.random.random() < share

    def _a_token(self) -> Token:
        return self.random.choice([token for token in self.history.tokens.values() if not token.spreads])

    def _log_in(self, user: str, session: str, at: float, kid: str = "ec-1") -> None:
        iat = math.floor(issuing.NOW + at + self.issuer_skew_s)
        name = signed(user, session, iat, kid)
        self.history.tokens[name] = Token(name, user, session, kid, at, iat)

    def _touched_token(self) -> Token:
        """A token that is about to be ended, and asked about more often than others from now on."""
        tokens = [token for token in self.history.tokens.values() if not token.spreads]
        ended = [one for one in self.history.revocations if one.kind != "role"]
        live = [token for token in tokens if not any(must_end(one, token) for one in ended)]
        self._touched.append(self.random.choice(live or tokens))
        return self._touched[-1]

    def _ask(self, replica: SimulatedReplica) -> None:
        about = self._touched[-3:] if self._touched and self._is_so(0.4) else None
        replica.ask(self.random.choice(about) if about else self._a_token(), self.random.choice(ASKED))
        self.world.at(self.world.now + self.random.uniform(0.2, 1.8) * ASK_EVERY_S, lambda: self._ask(replica))

    def _noted(self, kind: Kind, subject: str, watermark_iat: float = 0.0, except_session: str | None = None) -> Revoked:
        revoked = Revoked(kind, subject, self.world.now, None, watermark_iat, except_session)
        self.history.revocations.append(revoked)
        return revoked

    def _revoke(self) -> None:
        """In the primary, by whomever: the issuer's rows and the log's lines are of one transaction, which may commit late."""
        token, primary = self._touched_token(), self.issuer.primary
        kind = cast(Kind, self.random.choice(REVOKED))
        subject = {"session": token.session, "user": token.user, "key": token.key, "everyone": ""}[kind]
        spared = token.session if kind == "user" and self._is_so(0.3) else None
        watermark = math.floor(issuing.NOW + self.world.now) - 1 if kind == "everyone" else None
        line = primary.line(kind, KEYS[subject].thumbprint() if kind == "key" else subject, spared, watermark)
        number, revoked = primary.begin(), self._noted(kind, subject, line["watermark_iat"], spared)

        def commit() -> None:
            if kind in ("session", "user"):
                self.issuer.end(kind, subject, self.world.now if kind == "session" else revoked.asked_at, spared)
            primary.commit(number, line)
            self.acknowledged(revoked)

        self.world.at(self.world.now + self.random.choice((0.001, 0.001, 1.2)), commit)

    def _revoke_through_replica(self) -> None:
        token, before = self._touched_token(), math.floor(issuing.NOW + self.world.now)
        kind = cast(Kind, self.random.choice(REVOKED))
        subject = {"session": token.session, "user": token.user, "key": token.key, "everyone": str(before)}[kind]
        revoked = self._noted(kind, "" if kind == "everyone" else subject, before - 1)
        self.random.choice(self.replicas).revoke(kind, subject, revoked)

    def _log_out(self) -> None:
        token, scope = self._touched_token(), self.random.choice(("local", "global", "others"))
        if scope == "local":
            revoked = self._noted("session", token.session)
        else:
            revoked = self._noted("user", token.user, 0.0, token.session if scope == "others" else None)
        self.random.choice(self.replicas).log_out(token, scope, is_drop_in=self._is_so(0.5), revoked=revoked)

    def _plan_role(self, role: str, at: float) -> None:
        user = self.random.choice(USERS)
        grant = Token(role, "", role, user, math.inf, math.inf, spreads=True)

        def ask_for_it() -> None:
            self.history.tokens[role] = grant
            self.world.at(self.world.now + self.random.choice((0.001, 0.7)), give)

        def give() -> None:
            self.issuer.primary.commit_role(user, role, has=True)
            self.history.tokens[role] = replace(grant, issued_at=self.world.now)
            self.world.at(self.world.now + self.random.uniform(0.3, 2.0), ask_for_its_end)

        def ask_for_its_end() -> None:
            revoked = self._noted("role", role)
            self.world.at(self.world.now + self.random.choice((0.001, 0.7)), lambda: take(revoked))

        def take(revoked: Revoked) -> None:
            self.issuer.primary.commit_role(user, role, has=False)
            self.acknowledged(revoked)

        self.world.at(at, ask_for_it)

    def _plan_replay_pause(self) -> None:
        """No fault in the history: however far a standby lags, the promises are the same."""
        standby, began_at = self.issuer.primary.standby, self.random.uniform(0.5, DURATION_S - 4.0)
        self.world.at(began_at, lambda: setattr(standby, "is_paused", True))
        self.world.at(began_at + self.random.uniform(0.5, 6.0), standby.go_on)

    def _plan_fault(self) -> None:
        replica = self.random.choice(self.replicas)
        what = self.random.choice((*LINK_FAULTS, *PROCESS_FAULTS))
        began_at = self.random.uniform(0.5, DURATION_S - 5.0)
        turns = self._turns(what, began_at)
        ended_at = turns[-1][0] + self.random.uniform(0.1, 4.5)
        self.history.faults.append(Fault(what, replica.name, began_at, ended_at))
        if self._is_so(0.6):  # what matters happens while something is wrong
            at = turns[-1][0] + self.random.uniform(-0.5, 0.0) if len(turns) > 1 else began_at + self.random.uniform(0.0, 1.2)
            self.world.at(at, self.random.choice(self._ways))
        if what in LINK_FAULTS:
            links = self.random.choice(([replica.to_primary], [replica.to_issuer], [replica.to_primary, replica.to_issuer]))
            for link, (at, state) in itertools.product(links, [*turns, (ended_at, "up")]):
                self.world.at(at, partial(link.turn, state))
        elif what == "stopped":
            self.world.at(began_at, lambda: _stop(replica))
            self.world.at(ended_at, lambda: _go_on(replica, ended_at - began_at))
        else:
            self.world.at(began_at, lambda: None if replica.is_killed else replica.kill())
            self.world.at(ended_at, lambda: replica.start() if replica.is_killed else None)

    def _turns(self, what: str, began_at: float) -> list[tuple[float, LinkState]]:
        """What a link becomes, and when. Fading: slow, and then cut before all has arrived. Flapping: up for just long enough to
        let an answer through that was held."""
        if what == "fading":
            return [(began_at, "slow"), (began_at + self.random.uniform(0.5, 1.5), "cut")]
        if what == "flapping":
            up_at = began_at + self.random.uniform(0.3, 1.0)
            return [(began_at, "frozen"), (up_at, "up"), (up_at + self.random.uniform(0.005, 0.1), "frozen")]
        return [(began_at, cast(LinkState, what))]

    def _check_programs(self) -> None:
        """A bug in the code under test, or in this world, must not pass for a silent replica."""
        for task in self.tasks:
            error = task.exception() if task.done() and not task.cancelled() else None
            if error is not None:
                raise error
            task._log_destroy_pending = False  # type: ignore[attr-defined] - the world ends in the middle of things


def _stop(replica: SimulatedReplica) -> None:
    replica.loop.is_stopped = True


def _go_on(replica: SimulatedReplica, stopped_s: float) -> None:
    replica.loop.is_stopped = False
    replica.stopped_s += stopped_s


@lru_cache(maxsize=4096)
def signed(user: str, session: str, iat: int, kid: str) -> str:
    key = KEYS[kid]
    return issuing.token(key=key, sub=user, session_id=session, iat=iat, exp=issuing.NOW + 6 * 3600).decode()


def simulate(seed: int, variant: Variant | None = None) -> tuple[Judgement, History]:
    """One run, and whether its promises held. Deterministic but for the signatures' own bits."""
    history = Plan(seed, variant or Variant()).run()
    return judge(history, round_trip_s=max(ROUND_TRIPS_S.values())), history


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=500)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    began, outcomes, seen = time.monotonic(), Counter[str](), list[float]()
    failed = 0
    for seed in range(given.first, given.first + given.seeds):
        judgement, history = simulate(seed)
        outcomes.update(answer.outcome for answer in history.answers)
        seen += judgement.seen_s
        if not judgement.holds:
            failed += 1
            print(f"seed {seed}: {judgement}", flush=True)
    counted = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    print(f"{given.seeds} seeds, {failed} failed; {outcomes.total()} answers: {counted}; {time.monotonic() - began:.1f} s")
    p50_ms, p99_ms = (percentile(seen, share) * 1000 for share in (0.5, 0.99))
    print(f"seen everywhere, {len(seen)} cases: p50 {p50_ms:.0f}, p99 {p99_ms:.0f}, max {max(seen, default=0) * 1000:.0f} ms")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
