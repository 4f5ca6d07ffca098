"""One simulated process: its loop, its clock, its links, and the service's own code from the front inwards. See simulation.py."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import httpx

from loadtests.history import Answered, Outcome, Revoked, Token
from service.accounts.positions import CHANNEL as ACCOUNTS_CHANNEL
from service.accounts.positions import Positions
from service.cache.authenticator import Authenticator, Limits
from service.cache.entries import Sealer
from service.cache.introspection import Verifier
from service.clocks import Clock
from service.errors import TokenRejected, Unavailable
from service.metrics.counters import Counters
from service.revocation.feed import RevocationFeed
from service.revocation.records import Revocations
from service.tokens.identity import IssuerUser
from service.tokens.jwks import Jwks
from service.tokens.verification import Policy
from service.upstream.auth_api import UpstreamAnswer
from service.web.answers import Answer, fault_answer, rejection_answer
from service.web.auth_endpoints import AuthEndpoints, verify_lines
from service.web.compression import Compression
from service.web.cors import Cors
from service.web.drop_in import DropIn
from service.web.front import Front
from service.web.limited_drop_in import LimitedDropIn
from service.web.shortcut import Shortcut
from service.web.sign_ins import SignIns
from tests.service import issuing
from tests.service.parts import CACHE_KEY, UNLIMITED, MemoryTier
from tests.service.simulated_servers import Databases, Link, Pool, call, nothing
from tests.service.virtual import ProcessLoop

if TYPE_CHECKING:
    from tests.service.simulation import Plan

ROUND_TRIPS_S = {"near": 0.002, "far": 0.04, "farther": 0.14}
NEXT_DOOR_S = 0.001  # the standby
KEYS = {"ec-1": issuing.EC, "ec-2": issuing.EC_NEXT}
SERVICE_ROLE_KEY = "service-role-key"
# What is asked, and how: the last is a caller who wants more than the setting does.
PATHS = {
    "verify": ("/api/v1/auth/verify", b""),
    "me": ("/api/v1/auth/me", b""),
    "user": ("/auth/v1/user", b""),
    "strict": ("/api/v1/auth/verify", b"policy=strict"),
}
OUTCOMES: dict[int, Outcome] = {200: "accepted", 401: "refused", 403: "refused", 503: "unavailable"}


class Connection:
    """asyncpg's, as far as the feed uses it."""

    def __init__(self, replica: SimulatedReplica) -> None:
        self.replica = replica
        self._listeners: dict[str, Callable[..., None]] = {}
        self._is_open = True
        self._loop = replica.loop
        self._primary = replica.plan.issuer.primary
        self._primary.listeners.append(self)

    async def add_listener(self, channel: str, callback: Callable[..., None]) -> None:
        await self._call(nothing, 3.0)
        self._listeners[channel] = callback

    async def fetch(self, _statement: str, floor: str, *, timeout: float) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = await self._call(lambda: self._primary.poll(int(floor)), timeout)
        return rows

    def notify(self, channel: str, payload: str) -> None:
        if channel in self._listeners and self.replica.random.random() >= self.replica.plan.notices_lost:
            self.replica.to_primary.carry(lambda: self._loop.call_soon(self._hear, channel, payload))  # type: ignore[func-returns-value,arg-type]

    def terminate(self) -> None:
        self._is_open = False
        if self in self._primary.listeners:  # not so where the process was killed
            self._primary.listeners.remove(self)

    def _hear(self, channel: str, payload: str) -> None:
        if self._is_open:
            self._listeners[channel](self, 1, channel, payload)

    async def _call(self, serve: Callable[[], Any], timeout_s: float) -> Any:
        async with asyncio.timeout(timeout_s):
            return await call(self._loop, self.replica.to_primary, serve)


class _Body(httpx.AsyncByteStream):
    """Still to be read, as from a socket."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content


class ToIssuer:
    """AuthApi and PassThrough in one, as far as checks and log-outs need them."""

    def __init__(self, replica: SimulatedReplica) -> None:
        self._replica = replica

    async def user(self, token: bytes) -> IssuerUser:
        """Each read has its time-out at the real client, so an answer in pieces may take longer than one of them."""
        return cast(IssuerUser, await self._call(2.8, lambda: self._replica.plan.issuer.user(token)))

    async def log_out(self, token: bytes, scope: str) -> UpstreamAnswer:
        return cast(UpstreamAnswer, await self._call(10.0, lambda: self._replica.plan.issuer.log_out(token, scope)))

    @asynccontextmanager
    async def opened(
        self, method: str, target: bytes, headers: list[tuple[bytes, bytes]], _body: object = None
    ) -> AsyncIterator[httpx.Response]:
        answer = await self._call(15.0, lambda: self._replica.plan.issuer.http(method, target.decode(), headers))
        headers_of_answer = {**answer.headers, "content-length": str(len(answer.body))}
        yield httpx.Response(answer.status, headers=headers_of_answer, stream=_Body(answer.body))

    async def _call(self, timeout_s: float, serve: Callable[[], Any]) -> Any:
        try:
            async with asyncio.timeout(timeout_s):
                return await call(self._replica.loop, self._replica.to_issuer, serve)
        except (OSError, TimeoutError) as exc:
            raise Unavailable("upstream", "the issuer does not answer") from exc


class SimulatedReplica:
    def __init__(self, plan: Plan, name: str) -> None:
        self.plan = plan
        self.name = name
        self.random = random.Random(f"{plan.seed}/{name}")  # noqa: S311
        self.to_primary, self.to_issuer, self.to_standby = (
            Link(plan.world, self.random, trip_s) for trip_s in (ROUND_TRIPS_S[name], ROUND_TRIPS_S[name], NEXT_DOOR_S)
        )
        self.skew_s = self.random.choice((0.0, 0.0, self.random.uniform(-0.9, 7200.0)))
        self._offset_s = self.random.uniform(0, 1e6)
        self.stopped_s = 0.0
        self.sealed: dict[bytes, bytes] = {}
        self.is_killed = False
        self.start()

    def start(self) -> None:
        self.is_killed = False
        self.loop = ProcessLoop(self.plan.world)
        clock, counters, policies = Clock(self._wall, self._monotonic), Counters(), self.plan.policies
        revocations, to_issuer = Revocations(), ToIssuer(self)
        positions = Positions(lambda since: feed.position_within(2.0, since), None, clock, 2.0)
        also = {ACCOUNTS_CHANNEL: positions.changed}
        connect, uniform = self._connect, self.random.uniform
        feed = RevocationFeed("", {}, revocations, clock, counters, also, connect=connect, uniform=uniform)
        jwks = Jwks(self._keys, clock, lambda _gone: None)
        sealer = Sealer(CACHE_KEY)
        authenticator = Authenticator(
            limits=Limits(300.0, 100, 1_000_000, self.plan.variant.staleness_max_s),
            policy=Policy(issuing.ISSUER, issuing.AUDIENCE),
            sealer=sealer,
            jwks=jwks,
            revocations=revocations,
            feed=feed,
            shared=MemoryTier(sealer, self.sealed),
            ask_issuer=to_issuer.user,
            lines_for=verify_lines,
            clock=clock,
            counters=counters,
        )
        verifier = Verifier(authenticator, to_issuer.user, to_issuer.user, None, verify_lines, clock, policies, UNLIMITED)
        issuer = self.plan.issuer
        databases = Databases(
            Pool(self.loop, self.to_primary, issuer.primary.serve), Pool(self.loop, self.to_standby, issuer.primary.standby.serve)
        )
        unused: Any = None
        self._endpoints = AuthEndpoints(
            authenticator=authenticator,
            verifier=verifier,
            auth_api=cast(Any, to_issuer),
            database=cast(Any, databases),
            revocations=revocations,
            positions=positions,
            worker=unused,
            is_followed=lambda: True,
            rates=UNLIMITED,
            service_role_key=SERVICE_ROLE_KEY,
            clock=clock,
            counters=counters,
        )
        drop_in = DropIn(
            upstream=cast(Any, to_issuer),
            authenticator=authenticator,
            endpoints=self._endpoints,
            sign_ins=SignIns(self._endpoints, counters),
            entries_max=100,
            bytes_max=1_000_000,
            policy=policies["user"],
            rates=UNLIMITED,
            clock=clock,
            counters=counters,
        )
        cors = Cors((), 3600)
        self._at_once = Shortcut(verifier, drop_in.kept_user, cors, counters, clock).at_once
        self._front = Front(
            framework=unused,
            drop_in=LimitedDropIn(drop_in, unused),
            endpoints=self._endpoints,
            verifier=verifier,
            cors=cors,
            compression=Compression(1_000_000, 6),
            counters=counters,
        )
        self.spawn(feed.run())

    def kill(self) -> None:
        """kill -9: what was on its way is never answered, the kernel closes the connections."""
        self.is_killed = True
        self.loop.kill()
        listeners = self.plan.issuer.primary.listeners
        for connection in [one for one in listeners if isinstance(one, Connection) and one.replica is self]:
            listeners.remove(connection)

    def ask(self, token: Token, route: str) -> None:
        self._soon(lambda asked_at: self._answer(token, route, asked_at))

    def log_out(self, token: Token, scope: str, *, is_drop_in: bool, revoked: Revoked) -> None:
        def work() -> Coroutine[Any, Any, Answer]:
            if is_drop_in:
                return self._http("POST", "/auth/v1/logout", b"scope=" + scope.encode(), token.name)
            return self._answered(self._endpoints.log_out, _bearer(token.name), scope)

        self._soon(lambda _asked_at: self._told(work(), 204, revoked))

    def revoke(self, kind: str, subject: str, revoked: Revoked) -> None:
        def work() -> Coroutine[Any, Any, Answer]:
            return self._answered(self._endpoints.revoke, _bearer(SERVICE_ROLE_KEY), kind, subject)

        self._soon(lambda _asked_at: self._told(work(), 202, revoked))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.plan.tasks.append(self.loop.create_task(work))

    def _soon(self, work: Callable[[float], Coroutine[Any, Any, None]]) -> None:
        if not self.is_killed:
            asked_at = self.plan.world.now
            self.loop.call_soon(lambda: self.spawn(work(asked_at)))

    async def _answer(self, token: Token, route: str, asked_at: float) -> None:
        path, query = PATHS[route]
        is_hot = not query and self._answered_at_once(path, token)
        answer = Answer(200, []) if is_hot else await self._http("GET", path, query, token.name)
        now = self.plan.world.now
        answers = self.plan.history.answers
        answers.append(Answered(asked_at, now, self.name, token.name, OUTCOMES[answer.status], route))
        if path.endswith("/me") and answer.status == 200:
            roles = json.loads(answer.body)["roles"]
            absent: Outcome = "unavailable" if any(name == b"x-degraded" for name, _ in answer.headers) else "refused"
            for role in self.plan.roles_of(token.user):
                outcome: Outcome = "accepted" if role.session in roles else absent
                answers.append(Answered(asked_at, now, self.name, role.name, outcome, route))

    def _answered_at_once(self, path: str, token: Token) -> bool:
        """The hot path answers by itself."""
        head = f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token.name}\r\n\r\n"
        return self._at_once(head.encode(), []) is not None

    async def _told(self, work: Coroutine[Any, Any, Answer], status: int, revoked: Revoked) -> None:
        if (await work).status == status:
            self.plan.acknowledged(revoked)

    async def _answered(self, endpoint: Callable[..., Coroutine[Any, Any, Answer]], *arguments: Any) -> Answer:
        """As the framework would."""
        try:
            return await endpoint(*arguments)
        except TokenRejected as rejection:
            return rejection_answer(rejection)
        except Unavailable as fault:
            return fault_answer(fault)

    async def _http(self, method: str, path: str, query: bytes, token: str) -> Answer:
        answer = Answer(0, [])

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            nonlocal answer
            if message["type"] == "http.response.start":
                answer = Answer(message["status"], message["headers"])
            else:
                answer = Answer(answer.status, answer.headers, answer.body + message.get("body", b""))

        scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query}
        await self._front({**scope, "headers": _bearer(token), "client": ("10.0.0.1", 1)}, receive, send)
        return answer

    async def _connect(self, _url: str, *, timeout: float) -> Connection:
        async with asyncio.timeout(timeout):
            await call(self.loop, self.to_primary, nothing)
        return Connection(self)

    async def _keys(self) -> bytes:
        return issuing.jwks(*KEYS.values())

    def _wall(self) -> float:
        return issuing.NOW + self.plan.world.now + self.skew_s

    def _monotonic(self) -> float:
        return self._offset_s + self.plan.world.now - (self.stopped_s if self.plan.variant.clock_stops_with_process else 0.0)


def _bearer(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", b"Bearer " + token.encode())]
