"""What the simulated replicas talk to: links that go wrong, a primary, a standby that lags, the issuer. See simulation.py."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Iterable
from typing import Any, Literal, Protocol

import msgspec

from loadtests.history import Kind, Token
from service.accounts import account, positions
from service.errors import TokenRejected, Unavailable
from service.revocation import feed, log
from service.tokens.identity import IssuerUser
from service.upstream.auth_api import UpstreamAnswer
from tests.service import issuing
from tests.service.virtual import ProcessLoop, World

LinkState = Literal["up", "cut", "frozen", "slow"]
STEP = 100  # of the log's position, by commit


class Link:
    """A replica's way to a server and back, in order. Frozen: bytes are held, as TCP does; cut: all is lost."""

    def __init__(self, world: World, random_: random.Random, round_trip_s: float) -> None:
        self._world = world
        self._random = random_
        self._half_s = round_trip_s / 2
        self.state: LinkState = "up"
        self._held: list[Callable[[], None]] = []
        self._free_at = 0.0
        self._cuts = 0

    def carry(self, arrive: Callable[[], None], lose: Callable[[], None] | None = None) -> None:
        """`arrive` happens at the other end, in order of sending; `lose` at this one where the link is cut instead."""
        if self.state == "frozen":
            self._held.append(lambda: self.carry(arrive, lose))
            return
        if self.state == "cut":
            self._world.at(self._world.now, lose or nothing)
            return
        cuts = self._cuts
        delay_s = self._half_s * self._random.uniform(0.9, 1.1) + (self._random.uniform(0, 0.6) if self.state == "slow" else 0.0)
        self._free_at = max(self._free_at, self._world.now + delay_s)
        self._world.at(self._free_at, lambda: arrive() if self._cuts == cuts else (lose or nothing)())

    def turn(self, state: LinkState) -> None:
        self.state = state
        self._cuts += state == "cut"
        held, self._held = self._held, []
        for send in held:
            send()


def nothing() -> None:
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


class Listener(Protocol):
    """A connection of a replica's, as the primary sees it."""

    def notify(self, channel: str, payload: str) -> None: ...


class Primary:
    """Transactions as PostgreSQL shows them: numbers are given at the beginning, lines are seen from the commit on."""

    def __init__(self, world: World, end_sessions: Callable[[Kind, str, float], None]) -> None:
        self._world = world
        self._end_sessions = end_sessions
        self._next_transaction = 100
        self._open: set[int] = set()
        self._lines: list[tuple[int, dict[str, Any]]] = []
        self._changes: list[tuple[int, str, str, bool]] = []
        self.position = STEP
        self.listeners: list[Listener] = []
        self.standby = Standby(world, self)

    def begin(self) -> int:
        number = self._next_transaction
        self._next_transaction += 1
        self._open.add(number)
        return number

    def line(self, kind: Kind, subject: str, except_session: str | None = None, watermark: int | None = None) -> dict[str, Any]:
        now = math.floor(issuing.NOW + self._world.now)
        line = {"kind": kind, "subject": subject, "except_session": except_session}
        return {**line, "watermark_iat": now if watermark is None else watermark, "lives_s": 3900.0}

    def commit(self, number: int, *lines: dict[str, Any]) -> list[dict[str, Any]]:
        """The lines as they stand in the log."""
        self._open.remove(number)
        self.position += STEP
        logged = []
        for line in lines:
            logged.append({**line, "sequence": len(self._lines) + 1})
            self._lines.append((number, logged[-1]))
            self._notify(feed.CHANNEL, msgspec.json.encode(logged[-1]).decode())
        self.standby.follow()
        return logged

    def commit_role(self, user: str, role: str, *, has: bool) -> None:
        self.position += STEP
        self._changes.append((self.position, user, role, has))
        self._notify(positions.CHANNEL, user)
        self.standby.follow()

    def roles(self, user: str, position: int) -> list[str]:
        """As of a place in the log."""
        last = {role: has for at, whom, role, has in self._changes if whom == user and at <= position}
        return sorted(role for role, has in last.items() if has)

    def poll(self, floor: int) -> list[dict[str, Any]]:
        xmin = str(min(self._open, default=self._next_transaction))
        rest = {"xmin": xmin, "position": self.position, "follows_log_ins": True}
        return [{**line, **rest} for number, line in self._lines if number >= floor] or [{"sequence": None, **rest}]

    def serve(self, statement: str, arguments: tuple[Any, ...]) -> list[dict[str, Any]]:
        """The statements of service/revocation/log.py and accounts/account.py."""
        if statement == account._SELECT:
            return [account_row(arguments[0], self.roles(arguments[0], self.position))]
        return self.commit(self.begin(), *self._lines_of(statement, arguments))

    def _lines_of(self, statement: str, arguments: tuple[Any, ...]) -> list[dict[str, Any]]:
        if statement == log._WRITE_LOCAL:
            return [self.line("session", arguments[0])]
        if statement == log._WRITE_GLOBAL:
            return [self.line("user", arguments[1]), self.line("session", arguments[0])]
        if statement == log._WRITE_OTHERS:
            return [self.line("user", arguments[1], arguments[0])]
        if statement == log._REVOKE:  # and ends the sessions at the issuer in the same transaction
            self._end_sessions(*arguments, self._world.now)
            return [self.line(*arguments)]
        assert statement == log._REVOKE_TOKENS, statement
        kind, subject, watermark = arguments
        return [self.line(kind, subject, None, watermark)]

    def _notify(self, channel: str, payload: str) -> None:
        for listener in list(self.listeners):
            listener.notify(channel, payload)


class Standby:
    """Replays what the primary has committed, `lag_s` later, unless its replay is paused."""

    def __init__(self, world: World, primary: Primary) -> None:
        self._world = world
        self._primary = primary
        self.lag_s = 0.02
        self.is_paused = False
        self._received = self.replayed = 0

    def follow(self) -> None:
        position = self._primary.position
        self._world.at(self._world.now + self.lag_s, lambda: self._replay(position))

    def go_on(self) -> None:
        self.is_paused = False
        self._replay(self._received)

    def serve(self, statement: str, arguments: tuple[Any, ...]) -> list[dict[str, Any]]:
        if statement == account._SELECT_AT and self.replayed < arguments[1]:
            return []
        return [account_row(arguments[0], self._primary.roles(arguments[0], self.replayed))]

    def _replay(self, position: int) -> None:
        self._received = max(self._received, position)
        if not self.is_paused:
            self.replayed = max(self.replayed, self._received)


def account_row(user: str, roles: list[str]) -> dict[str, Any]:
    return {"id": user, "email": None, "display_name": None, "created_at": None, "roles": roles, "permissions": []}


class Pool:
    """As much of database/pools.py's as is used, over a link."""

    def __init__(self, loop: ProcessLoop, link: Link, serve: Callable[[str, tuple[Any, ...]], list[dict[str, Any]]]) -> None:
        self._loop = loop
        self._link = link
        self._serve = serve

    async def fetch(self, statement: str, *arguments: Any, timeout_s: float = 5.0) -> list[dict[str, Any]]:
        try:
            async with asyncio.timeout(timeout_s):
                rows: list[dict[str, Any]] = await call(self._loop, self._link, lambda: self._serve(statement, arguments))
        except (OSError, TimeoutError) as exc:
            raise Unavailable("database", "away") from exc
        return rows


class Databases:
    def __init__(self, primary: Pool, replica: Pool) -> None:
        self.primary = primary
        self.replica = replica

    async def write(self, statement: str, *arguments: Any, timeout_s: float = 5.0) -> list[dict[str, Any]]:
        return await self.primary.fetch(statement, *arguments, timeout_s=timeout_s)


class Issuer:
    """Knows which sessions live, and whose they are. Its tables are the primary's own, where a trigger may watch them."""

    def __init__(self, world: World, tokens: dict[str, Token]) -> None:
        self._world = world
        self._tokens = tokens
        self.primary = Primary(world, self.end)
        self.is_watched = True
        self.ended: set[str] = set()

    def end(self, kind: Kind, subject: str, now: float, except_session: str | None = None) -> list[str]:
        """Ends the sessions that there are `now`; which."""
        gone = {
            token.session
            for token in self._tokens.values()
            if subject in (token.session, token.user) and token.issued_at <= now and token.session != except_session
        } - self.ended
        self.ended |= gone
        return sorted(gone) if kind != "key" else []

    def user(self, token: bytes) -> IssuerUser | TokenRejected:
        known = self._tokens[token.decode()]
        if known.session in self.ended:
            return TokenRejected("session_not_found", "gone")
        return IssuerUser(known.user, b'{"id":"%s"}' % known.user.encode())

    def log_out(self, token: bytes, scope: str) -> UpstreamAnswer:
        known = self._tokens[token.decode()]
        if known.session in self.ended:
            return _refusal("session_not_found")
        subject = known.session if scope == "local" else known.user
        gone = self.end("session", subject, self._world.now, known.session if scope == "others" else None)
        if self.is_watched:
            self.primary.commit(self.primary.begin(), *(self.primary.line("session", session) for session in gone))
        return UpstreamAnswer(204, {}, b"")

    def http(self, method: str, target: str, headers: Iterable[tuple[bytes, bytes]]) -> UpstreamAnswer:
        """GET /user and POST /logout, as a proxy asks them."""
        token = dict(headers)[b"authorization"].removeprefix(b"Bearer ")
        path, _, query = target.partition("?")
        if (method, path) == ("POST", "/auth/v1/logout"):
            return self.log_out(token, query.removeprefix("scope=") or "global")
        assert (method, path) == ("GET", "/auth/v1/user"), target
        found = self.user(token)
        return _refusal(found.code) if isinstance(found, TokenRejected) else UpstreamAnswer(200, {}, found.json)


def _refusal(code: str) -> UpstreamAnswer:
    return UpstreamAnswer(403, {"x-sb-error-code": code}, b'{"code":"%s","message":""}' % code.encode())
