"""Replicas of the real revocation and caching code in a simulated world that goes wrong by a seed.

    python -m tests.service.simulation [--first 1000] [--seeds 500]

What is real: Authenticator, Revocations, RevocationFeed, Jwks, tokens and their checks, sealed records. What is simulated: the
primary (transactions that commit late, snapshots, notices), the issuer, the links to both, the processes and their clocks.
loadtests/history.py judges what came out. See tests/service/test_history.py for what a seed must hold, and for broken variants
that must be caught.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import msgspec
import structlog

from loadtests.history import Answered, Fault, History, Judgement, Kind, Outcome, Revoked, Token, judge
from service.cache.authenticator import Authenticator, Limits
from service.cache.entries import Sealer
from service.clocks import Clock
from service.errors import TokenRejected, Unavailable
from service.metrics.counters import Counters
from service.revocation.feed import RevocationFeed
from service.revocation.records import Revocations
from service.tokens.identity import IssuerUser
from service.tokens.jwks import Jwks
from service.tokens.verification import Policy
from service.web.auth_endpoints import verify_lines
from tests.service import issuing
from tests.service.parts import CACHE_KEY, MemoryTier
from tests.service.virtual import ProcessLoop, World

DURATION_S = 9.0
ASK_EVERY_S = 0.04
ROUND_TRIPS_S = {"near": 0.002, "far": 0.04, "farther": 0.14}
USERS = [f"{number}0000000-0000-4000-8000-000000000000" for number in range(1, 4)]
KEYS = {"ec-1": issuing.EC, "ec-2": issuing.EC_NEXT}
LINK_FAULTS = ("cut", "frozen", "slow")
PROCESS_FAULTS = ("stopped", "killed")


@dataclass(frozen=True, slots=True)
class Variant:
    """What a broken variant changes; the tests also break the code itself."""

    staleness_max_s: float = 2.0
    clock_stops_with_process: bool = False


class Link:
    """A replica's way to a server and back, in order. Frozen: bytes are held, as TCP does; cut: all is lost."""

    def __init__(self, world: World, random_: random.Random, round_trip_s: float) -> None:
        self._world = world
        self._random = random_
        self._half_s = round_trip_s / 2
        self.state: Literal["up", "cut", "frozen", "slow"] = "up"
        self._held: list[Callable[[], None]] = []
        self._free_at = 0.0
        self._cuts = 0

    def carry(self, arrive: Callable[[], None], lose: Callable[[], None] | None = None) -> None:
        """`arrive` happens at the other end, in order of sending; `lose` at this one where the link is cut instead."""
        if self.state == "frozen":
            self._held.append(lambda: self.carry(arrive, lose))
            return
        if self.state == "cut":
            self._world.at(self._world.now, lose or _nothing)
            return
        cuts = self._cuts
        delay_s = self._half_s * self._random.uniform(0.9, 1.1) + (self._random.uniform(0, 0.6) if self.state == "slow" else 0.0)
        self._free_at = max(self._free_at, self._world.now + delay_s)
        self._world.at(self._free_at, lambda: arrive() if self._cuts == cuts else (lose or _nothing)())

    def turn(self, state: Literal["up", "cut", "frozen", "slow"]) -> None:
        self.state = state
        self._cuts += state == "cut"
        held, self._held = self._held, []
        for send in held:
            send()


def _nothing() -> None:
    return None


async def call(loop: ProcessLoop, link: Link, serve: Callable[[], Any]) -> Any:
    """`serve()` at the far end of the link, and what it returned (or the error) back here. OSError where the link is cut."""
    answer = loop.create_future()

    def settle(result: Any) -> None:
        loop.call_soon(lambda: None if answer.done() else _settle(answer, result))

    def lose() -> None:
        settle(ConnectionResetError("cut"))

    def arrive() -> None:
        result = serve()
        link.carry(lambda: settle(result), lose)

    link.carry(arrive, lose)
    return await answer


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)


class Primary:
    """The log's transactions as PostgreSQL shows them: numbers are given at the beginning, lines are seen from the commit on."""

    def __init__(self, world: World, skew_s: float) -> None:
        self._world = world
        self._skew_s = skew_s
        self._next_transaction = 100
        self._open: set[int] = set()
        self._lines: list[tuple[int, dict[str, Any]]] = []
        self.connections: list[Connection] = []

    def begin(self, kind: Kind, subject: str, except_session: str | None, watermark: int | None) -> tuple[int, dict[str, Any]]:
        number = self._next_transaction
        self._next_transaction += 1
        self._open.add(number)
        now = math.floor(issuing.NOW + self._world.now + self._skew_s)
        line = {"sequence": number, "kind": kind, "subject": subject, "except_session": except_session}
        return number, {**line, "watermark_iat": now if watermark is None else watermark, "lives_s": 3900.0}

    def commit(self, number: int, line: dict[str, Any]) -> None:
        self._open.remove(number)
        self._lines.append((number, line))
        for connection in self.connections:
            connection.notify(msgspec.json.encode(line).decode())

    def poll(self, floor: int) -> list[dict[str, Any]]:
        xmin = str(min(self._open, default=self._next_transaction))
        found = [{**line, "xmin": xmin, "position": None} for number, line in self._lines if number >= floor]
        return found or [{"sequence": None, "xmin": xmin, "position": None}]


class Connection:
    """asyncpg's, as far as the feed uses it."""

    def __init__(self, replica: SimulatedReplica) -> None:
        self._replica = replica
        self._listener: Callable[..., None] | None = None
        self._is_open = True
        self._loop = replica.loop
        replica.plan.primary.connections.append(self)

    async def add_listener(self, channel: str, callback: Callable[..., None]) -> None:
        await self._call(_nothing, 3.0)
        if channel == "cached_auth_revocations":
            self._listener = callback

    async def fetch(self, _statement: str, floor: str, *, timeout: float) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = await self._call(lambda: self._replica.plan.primary.poll(int(floor)), timeout)
        return rows

    def notify(self, payload: str) -> None:
        if self._listener is not None and self._replica.random.random() >= self._replica.plan.notices_lost:
            self._replica.to_primary.carry(lambda: self._loop.call_soon(self._hear, payload))  # type: ignore[func-returns-value,arg-type]

    def terminate(self) -> None:
        self._is_open = False
        if self in self._replica.plan.primary.connections:  # not so where the process was killed
            self._replica.plan.primary.connections.remove(self)

    def _hear(self, payload: str) -> None:
        if self._is_open and self._listener is not None:
            self._listener(self, 1, "cached_auth_revocations", payload)

    async def _call(self, serve: Callable[[], Any], timeout_s: float) -> Any:
        async with asyncio.timeout(timeout_s):
            return await call(self._loop, self._replica.to_primary, serve)


class Issuer:
    """Knows which sessions live, and whose they are."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.ended: set[str] = set()

    def user(self, token: bytes) -> IssuerUser | TokenRejected:
        known = self._plan.history.tokens[token.decode()]
        if known.session in self.ended:
            return TokenRejected("session_not_found", "gone")
        return IssuerUser(known.user, b'{"id":"%s"}' % known.user.encode())


class SimulatedReplica:
    """One process: its loop, its clock, and the real code."""

    def __init__(self, plan: Plan, name: str) -> None:
        self.plan = plan
        self.name = name
        self.random = random.Random(f"{plan.seed}/{name}")  # noqa: S311
        self.to_primary = Link(plan.world, self.random, ROUND_TRIPS_S[name])
        self.to_issuer = Link(plan.world, self.random, ROUND_TRIPS_S[name])
        self.skew_s = self.random.choice((0.0, 0.0, self.random.uniform(-0.9, 7200.0)))
        self._offset_s = self.random.uniform(0, 1e6)
        self.stopped_s = 0.0
        self.sealed: dict[bytes, bytes] = {}
        self.is_killed = False
        self.start()

    def start(self) -> None:
        self.is_killed = False
        self.loop = ProcessLoop(self.plan.world)
        clock = Clock(self._wall, self._monotonic)
        counters = Counters()
        self.revocations = Revocations()
        self.feed = RevocationFeed(
            "postgresql://simulated",
            {},
            self.revocations,
            clock,
            counters,
            {},
            connect=self._connect,
            uniform=self.random.uniform,
        )
        jwks = Jwks(self._keys, clock, lambda _gone: None)
        sealer = Sealer(CACHE_KEY)
        self.authenticator = Authenticator(
            limits=Limits(
                ttl_s=300.0,
                entries_max=100,
                bytes_max=1_000_000,
                staleness_max_s=self.plan.variant.staleness_max_s,
            ),
            policy=Policy(issuing.ISSUER, issuing.AUDIENCE),
            sealer=sealer,
            jwks=jwks,
            revocations=self.revocations,
            feed=self.feed,
            shared=MemoryTier(sealer, self.sealed),
            ask_issuer=self._ask_issuer,
            lines_for=verify_lines,
            clock=clock,
            counters=counters,
        )
        self.spawn(self.feed.run())

    def kill(self) -> None:
        """kill -9: what was on its way is never answered, the kernel closes the connections."""
        self.is_killed = True
        self.loop.kill()
        for connection in [one for one in self.plan.primary.connections if one._replica is self]:
            self.plan.primary.connections.remove(connection)

    def ask(self, token: Token) -> None:
        if not self.is_killed:
            asked_at = self.plan.world.now
            self.loop.call_soon(lambda: self.spawn(self._answer(token, asked_at)))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        self.plan.tasks.append(task)

    async def _answer(self, token: Token, asked_at: float) -> None:
        outcome: Outcome = "accepted"
        try:
            await self.authenticator.authenticate(token.name.encode(), must_hear=self.plan.when_silent == "refuse")
        except TokenRejected:
            outcome = "refused"
        except Unavailable:
            outcome = "unavailable"
        self.plan.history.answers.append(Answered(asked_at, self.plan.world.now, self.name, token.name, outcome))

    async def _connect(self, _url: str, *, timeout: float) -> Connection:
        async with asyncio.timeout(timeout):
            await call(self.loop, self.to_primary, _nothing)
        return Connection(self)

    async def _keys(self) -> bytes:
        return issuing.jwks(*KEYS.values())

    async def _ask_issuer(self, token: bytes) -> IssuerUser:
        """Each read has its time-out at the real client, so an answer in pieces may take longer than one of them."""
        try:
            async with asyncio.timeout(2.8):
                user: IssuerUser = await call(self.loop, self.to_issuer, lambda: self.plan.issuer.user(token))
        except (OSError, TimeoutError) as exc:
            raise Unavailable("upstream", "the issuer does not answer") from exc
        return user

    def _wall(self) -> float:
        return issuing.NOW + self.plan.world.now + self.skew_s

    def _monotonic(self) -> float:
        return self._offset_s + self.plan.world.now - (self.stopped_s if self.plan.variant.clock_stops_with_process else 0.0)


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
        # Of a key's or everyone's revocation the issuer knows nothing: the promise needs `refuse`.
        self.when_silent: Literal["ask", "refuse"] = self.random.choice(("ask", "refuse"))
        self.primary = Primary(self.world, 0.0)
        self.issuer = Issuer(self)
        self.replicas = [SimulatedReplica(self, name) for name in ROUND_TRIPS_S]

    def run(self) -> History:
        for number in range(9):
            self._log_in(USERS[number % 3], f"{number:08d}-1111-4111-8111-111111111111", 0.0)
        if self.notices_lost:
            self.history.faults.append(Fault("notices lost", None, 0.0, DURATION_S))
        for _ in range(self.random.randint(0, 3)):
            self._plan_fault()
        for _ in range(self.random.randint(2, 4)):
            self.world.at(self.random.uniform(1.0, DURATION_S - 4.0), self._revoke)
        for replica in self.replicas:
            self._ask(replica)
        self.world.run(DURATION_S)
        self._check_programs()
        return self.history

    def _log_in(self, user: str, session: str, at: float, kid: str = "ec-1") -> None:
        iat = math.floor(issuing.NOW + at + self.issuer_skew_s)
        name = signed(user, session, iat, kid)
        self.history.tokens[name] = Token(name, user, session, kid, at, iat)

    def _ask(self, replica: SimulatedReplica) -> None:
        replica.ask(self.random.choice(list(self.history.tokens.values())))
        self.world.at(self.world.now + self.random.uniform(0.2, 1.8) * ASK_EVERY_S, lambda: self._ask(replica))

    def _revoke(self) -> None:
        token = self.random.choice(list(self.history.tokens.values()))
        kinds: tuple[Kind, ...] = ("session", "user", "key", "everyone") if self.when_silent == "refuse" else ("session", "user")
        kind = self.random.choice(kinds)
        subject = {"session": token.session, "user": token.user, "key": token.key, "everyone": ""}[kind]
        spared = token.session if kind == "user" and self.random.random() < 0.3 else None
        watermark = math.floor(issuing.NOW + self.world.now) - 1 if kind == "everyone" else None
        line_subject = KEYS[subject].thumbprint() if kind == "key" else subject
        number, line = self.primary.begin(kind, line_subject, spared, watermark)
        revoked = Revoked(kind, subject, self.world.now, None, line["watermark_iat"], spared)
        self.history.revocations.append(revoked)
        self.world.at(self.world.now + self.random.choice((0.001, 0.001, 1.2)), lambda: self._acknowledge(revoked, number, line))

    def _acknowledge(self, revoked: Revoked, number: int, line: dict[str, Any]) -> None:
        """The issuer's rows and the log's line are of one transaction; whoever asked is told at once."""
        self.primary.commit(number, line)
        revoked.acknowledged_at = self.world.now
        if revoked.kind in ("session", "user"):
            for token in self.history.tokens.values():
                is_old = revoked.kind == "session" or token.issued_at < revoked.asked_at
                if is_old and revoked.subject in (token.session, token.user) and token.session != revoked.except_session:
                    self.issuer.ended.add(token.session)
        if revoked.kind == "user":  # and logs in again at once
            session = f"{len(self.history.tokens):08d}-2222-4222-8222-222222222222"
            self._log_in(revoked.subject, session, self.world.now + 1e-6, self.random.choice(list(KEYS)))

    def _plan_fault(self) -> None:
        replica = self.random.choice(self.replicas)
        what = self.random.choice((*LINK_FAULTS, *PROCESS_FAULTS))
        began_at = self.random.uniform(0.5, DURATION_S - 5.0)
        ended_at = began_at + self.random.uniform(0.1, 4.5)
        self.history.faults.append(Fault(what, replica.name, began_at, ended_at))
        if what in LINK_FAULTS:
            links = self.random.choice(([replica.to_primary], [replica.to_issuer], [replica.to_primary, replica.to_issuer]))
            for link in links:
                self.world.at(began_at, lambda link=link: link.turn(what))  # type: ignore[misc]
                self.world.at(ended_at, lambda link=link: link.turn("up"))  # type: ignore[misc]
        elif what == "stopped":
            self.world.at(began_at, lambda: _stop(replica))
            self.world.at(ended_at, lambda: _go_on(replica, ended_at - began_at))
        else:
            self.world.at(began_at, lambda: None if replica.is_killed else replica.kill())
            self.world.at(ended_at, lambda: replica.start() if replica.is_killed else None)

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
    began, answers, accepted, seen = time.monotonic(), 0, 0, []
    failed = 0
    for seed in range(given.first, given.first + given.seeds):
        judgement, history = simulate(seed)
        answers += len(history.answers)
        accepted += sum(answer.outcome == "accepted" for answer in history.answers)
        seen += judgement.seen_s
        if not judgement.holds:
            failed += 1
            print(f"seed {seed}: {judgement}", flush=True)
    print(f"{given.seeds} seeds, {failed} failed; {answers} answers, {accepted} accepted; {time.monotonic() - began:.1f} s")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
