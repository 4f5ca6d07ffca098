"""Revocation with real processes that go wrong, judged from outside: two replicas, PostgreSQL with a standby, Valkey, the Auth
stand-in.

    python -m loadtests.bench.revocation [--seed 1] [--duration 60]

One replica is near the primary, one 40 ms away over links that are cut, frozen and flapping, with a clock of its own; that one is
also stopped (SIGSTOP), continued and killed (-9), one fault at a time with health in between, and the standby that both read
stops replaying for seconds at a time. Askers ask both all the time, on every route, each of which has a policy by the seed.
Sessions are ended by log-out at either replica, by its own endpoint and by /auth/v1/logout, by log-out at the issuer itself and
by an administrator; so are users and everyone's old tokens; roles are granted and taken away in the primary.
Prints what loadtests/history.py makes of it, and the figures. Exits with 1 where a promise did not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg  # type: ignore[import-untyped]
import httpx

from loadtests.bench.link import Link, linked, relayed
from loadtests.bench.replica_stack import Replica, ReplicaStack, running_stack
from loadtests.bench.revocation_faults import Faults, lag
from loadtests.bench.standby import running_standby
from loadtests.history import Answered, History, Judgement, Kind, Outcome, Revoked, Rule, Token, judge, must_end, percentile

ROUND_TRIP_S = 0.04
PASSWORD = "a long enough one 1"  # noqa: S105 - of accounts that live for a minute
ASKERS = 3
PAUSE_S = 0.01
CHASE_S = 0.25
TOKENS_MIN = 6
ROLES_MAX = 12
ROUTES = {
    "verify": "/api/v1/auth/verify",
    "me": "/api/v1/auth/me",
    "user": "/auth/v1/user",
    "strict": "/api/v1/auth/verify?policy=strict",
}
ASKED = ("verify",) * 4 + ("me",) * 3 + ("user",) * 2 + ("strict",)
OUTCOMES: dict[int, Outcome] = {200: "accepted", 401: "refused", 403: "refused"}
CLOCKS_AHEAD_S = (0.0, -0.9, 240.0)


class Run:
    """Everything under way, and the history it writes."""

    def __init__(self, stack: ReplicaStack, standby_url: str, seed: int, duration_s: float) -> None:
        self.stack = stack
        self.standby_url = standby_url
        self.random = random.Random(seed)  # noqa: S311 - a schedule, no secrets
        self.history = History()
        self.history.rules.update({route: Rule(self.random.random() < 0.2, self.random.random() < 0.5) for route in ROUTES})
        self.history.rules["strict"] = Rule(True, self.history.rules["verify"].must_hear)
        self.clock_ahead_s = self.random.choice(CLOCKS_AHEAD_S)
        self.replicas: dict[str, Replica] = {}
        self.links: dict[str, Link] = {}
        self.begun = time.monotonic()
        self.duration_s = duration_s
        self.client = httpx.AsyncClient(timeout=10.0, limits=httpx.Limits(max_connections=100))
        self._live: list[Token] = []
        self._ended: list[Token] = []

    @property
    def now(self) -> float:
        return time.monotonic() - self.begun

    @property
    def is_over(self) -> bool:
        return self.now >= self.duration_s

    @property
    def policies(self) -> dict[str, str]:
        """The rules as a replica's settings."""
        rules = {route: rule for route, rule in self.history.rules.items() if route != "strict"}
        words = [f"{route}={'strict' if rule.is_strict else 'cached'}" for route, rule in rules.items()]
        silence = [f"{route}={'refuse' if rule.must_hear else 'ask'}" for route, rule in rules.items()]
        return {"VERIFY_POLICY": ",".join(["cached", *words]), "REVOCATION_WHEN_SILENT": ",".join(["ask", *silence])}

    async def log_in(self) -> None:
        email = f"{self.random.choice('abcd')}-{self.begun}@example.com"
        url = f"{self.stack.supabase_url}/auth/v1"
        headers = {"apikey": self.stack.environment["SUPABASE_ANON_KEY"]}
        body = {"email": email, "password": PASSWORD}
        answer = await self.client.post(f"{url}/token?grant_type=password", json=body, headers=headers)
        if answer.status_code != 200:
            answer = await self.client.post(f"{url}/signup", json=body, headers=headers)
        name = answer.json()["access_token"]
        claims = claims_of(name)
        token = Token(name, str(claims["sub"]), str(claims["session_id"]), "", self.now, float(str(claims["iat"])))
        self.history.tokens[name] = token
        self._live.append(token)

    async def ask(self, replica: str) -> None:
        while not self.is_over:
            await self._ask(replica, self.random.choice([*self._live, *self._live, *self._ended[-8:]]), self.random.choice(ASKED))
            await asyncio.sleep(PAUSE_S)

    async def chase(self, token: Token, routes: tuple[str, ...] = ASKED) -> None:
        """Asks both about it as fast as they answer, in the moment in which what was changed gets around."""

        async def ask(replica: str) -> None:
            until = self.now + CHASE_S
            while self.now < until:
                await self._ask(replica, token, self.random.choice(routes))

        await asyncio.gather(ask("near"), ask("far"))

    async def revoke(self) -> None:
        ways = [self._by_log_out, self._by_log_out, self._at_the_issuer, self._by_session, self._by_user, self._by_age]
        while self.now < self.duration_s - 3.0:
            while len(self._live) < TOKENS_MIN:
                await self.log_in()
            await asyncio.sleep(self.random.uniform(0.3, 1.0))
            token = self.random.choice(self._live)
            way: Callable[[Token], Awaitable[None]] = self.random.choice(ways)
            await way(token)
            await self.chase(token)
            ended = [one for one in self._live if any(must_end(done, one) for done in self.history.revocations)]
            self._ended += ended
            self._live = [one for one in self._live if one not in ended]

    async def change_roles(self) -> None:
        """Each role is given once and taken once, so that an answer says which of the two it knows of."""
        connection = await asyncpg.connect(self.stack.database_url)
        try:
            for number in range(ROLES_MAX):
                if self.now >= self.duration_s - 8.0:
                    return
                role, user = f"role{number}", self.random.choice(self._live).user
                await connection.execute("INSERT INTO cached_auth.roles VALUES ($1)", role)
                grant = Token(f"{role} of {user}", "", role, user, float("inf"), float("inf"), spreads=True)
                self.history.tokens[grant.name] = grant
                await connection.execute("INSERT INTO cached_auth.user_roles VALUES ($1, $2)", user, role)
                self.history.tokens[grant.name] = replace(grant, issued_at=self.now)
                await self._chase_user(user)
                await asyncio.sleep(self.random.uniform(1.0, 3.0))
                revoked = Revoked("role", role, self.now)
                self.history.revocations.append(revoked)
                await connection.execute("DELETE FROM cached_auth.user_roles WHERE role = $1", role)
                revoked.acknowledged_at = self.now
                await self._chase_user(user)
                await asyncio.sleep(self.random.uniform(0.3, 1.0))
        finally:
            connection.terminate()

    async def break_things(self) -> None:
        faults = Faults(self.random, self.links, lambda: self.replicas["far"], self.start_far)
        while self.now < self.duration_s - 8.0:
            self.history.faults.append(await faults.next_one(lambda: self.now))

    async def lag(self) -> None:
        await lag(self.standby_url, random.Random(self.random.random()), lambda: self.is_over)  # noqa: S311

    def start_far(self) -> None:
        address = {"DATABASE_URL": self._urls[0], "SUPABASE_URL": self._urls[1], "REDIS_URL": "", "REGION": "far"}
        self.replicas["far"] = self._started(self.clock_ahead_s, **address)

    @asynccontextmanager
    async def replicas_up(self) -> AsyncIterator[None]:
        port = urlsplit(self.stack.supabase_url).port
        assert port is not None
        async with (
            linked(self.stack.database_url, ROUND_TRIP_S * 1000) as (database_url, self.links["database"]),
            relayed(lambda: asyncio.open_connection("127.0.0.1", port), ROUND_TRIP_S * 1000) as (far, self.links["issuer"]),
        ):
            self._urls = (database_url, f"http://127.0.0.1:{far}")
            self.replicas["near"] = await asyncio.to_thread(self._started, 0.0, REGION="near")
            await asyncio.to_thread(self.start_far)
            self.begun = time.monotonic()
            yield
            for link in self.links.values():
                link.mend()
            await asyncio.to_thread(self.replicas["far"].program.end)

    async def _chase_user(self, user: str) -> None:
        token = next((token for token in self._live if token.user == user), None)
        if token is not None:
            await self.chase(token, ("me",))

    async def _ask(self, replica: str, token: Token, route: str) -> None:
        asked_at = self.now
        answer = await self._answer(replica, token, route)
        outcome = "unavailable" if answer is None else OUTCOMES.get(answer.status_code, "unavailable")
        self.history.answers.append(Answered(asked_at, self.now, replica, token.name, outcome, route))
        if answer is not None and outcome == "accepted" and route == "me":
            self._note_roles(replica, token, asked_at, answer)

    def _started(self, clock_ahead_s: float, **changes: str) -> Replica:
        settings = {**self.policies, "DATABASE_REPLICA_URL": self.standby_url, "RATE_LIMIT_USER_PER_MINUTE": "0"}
        return self.stack.start_replica(clock_ahead_s=clock_ahead_s, **settings, **changes)

    async def _answer(self, replica: str, token: Token, route: str) -> httpx.Response | None:
        url = self.replicas[replica].url + ROUTES[route]
        headers = {"Authorization": f"Bearer {token.name}", "apikey": self.stack.environment["SUPABASE_ANON_KEY"]}
        try:
            return await self.client.get(url, headers=headers)
        except httpx.HTTPError:
            return None

    def _note_roles(self, replica: str, token: Token, asked_at: float, answer: httpx.Response) -> None:
        absent: Outcome = "unavailable" if "x-degraded" in answer.headers else "refused"
        roles = answer.json()["roles"]
        for grant in self.history.tokens.values():
            if grant.spreads and grant.key == token.user:
                outcome: Outcome = "accepted" if grant.session in roles else absent
                self.history.answers.append(Answered(asked_at, self.now, replica, grant.name, outcome, "me"))

    async def _noted(self, revoked: Revoked, url: str, **request: Any) -> None:
        self.history.revocations.append(revoked)
        try:
            answer = await self.client.post(url, **request)
        except httpx.HTTPError:
            return
        if answer.status_code in (200, 202, 204):
            revoked.acknowledged_at = self.now

    async def _by_log_out(self, token: Token) -> None:
        """At either replica, its own way or the issuer's."""
        prefix = self.random.choice(("/api/v1/auth", "/auth/v1"))
        await self._logged_out(token, f"{self._a_replica().url}{prefix}/logout")

    async def _at_the_issuer(self, token: Token) -> None:
        await self._logged_out(token, f"{self.stack.supabase_url}/auth/v1/logout")

    async def _logged_out(self, token: Token, url: str) -> None:
        scope = self.random.choice(("local", "global", "others"))
        revoked = Revoked("session", token.session, self.now)
        if scope != "local":
            revoked = Revoked("user", token.user, self.now, except_session=token.session if scope == "others" else None)
        headers = {"Authorization": f"Bearer {token.name}", "apikey": self.stack.environment["SUPABASE_ANON_KEY"]}
        await self._noted(revoked, f"{url}?scope={scope}", headers=headers)

    async def _by_session(self, token: Token) -> None:
        await self._administered("session", token.session, {"session_id": token.session})

    async def _by_user(self, token: Token) -> None:
        await self._administered("user", token.user, {"user_id": token.user})

    async def _by_age(self, _token: Token) -> None:
        before = int(time.time()) - 5
        await self._administered("everyone", "", {"issued_before": before}, before - 1)

    async def _administered(self, kind: Kind, subject: str, body: dict[str, object], watermark_iat: float = 0.0) -> None:
        headers = {"Authorization": f"Bearer {self.stack.service_role_key}"}
        revoked = Revoked(kind, subject, self.now, None, watermark_iat)
        await self._noted(revoked, f"{self._a_replica().url}/api/v1/auth/revoke", json=body, headers=headers)

    def _a_replica(self) -> Replica:
        return self.replicas[self.random.choice(("near", "near", "far"))]


def claims_of(token: str) -> dict[str, object]:
    part = token.split(".")[1]
    claims: dict[str, object] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


async def measure(run: Run) -> Judgement:
    async with run.client, run.replicas_up():
        for _ in range(TOKENS_MIN):
            await run.log_in()
        async with asyncio.TaskGroup() as group:
            for replica in ("near", "far"):
                for _ in range(ASKERS):
                    group.create_task(run.ask(replica))
            for work in (run.revoke(), run.change_roles(), run.break_things(), run.lag()):
                group.create_task(work)
    return judge(run.history, round_trip_s=ROUND_TRIP_S)


def report(judgement: Judgement, run: Run) -> str:
    history = run.history
    outcomes = [answer.outcome for answer in history.answers]
    told = [revoked.kind for revoked in history.revocations if revoked.acknowledged_at is not None]
    kinds = ", ".join(f"{told.count(kind)} {kind}" for kind in sorted(set(told)))
    faults = ", ".join(f"{fault.what} {fault.ended_at - fault.began_at:.1f} s" for fault in history.faults)
    seen_ms = [seconds * 1000 for seconds in judgement.seen_s]
    counted = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in ("accepted", "refused", "unavailable"))
    return "\n".join(
        [
            f"{' '.join(f'{name}={value}' for name, value in run.policies.items())}; far clock {run.clock_ahead_s:+g} s",
            f"{len(outcomes)} answers: {counted}",
            f"{len(told)} revocations acknowledged ({kinds}); faults at the far replica: {faults}",
            f"not yet seen after the acknowledgement by a healthy replica, {len(seen_ms)} cases: "
            f"p50 {percentile(seen_ms, 0.5):.0f}, p99 {percentile(seen_ms, 0.99):.0f}, max {max(seen_ms, default=0):.0f} ms "
            f"(allowed {judgement.allowed_s * 1000:.0f} ms)",
            f"verdict: {judgement}",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--duration", type=float, default=60.0)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="cached-auth-bench-") as folder,
        running_stack(Path(folder)) as stack,
        running_standby(stack.database_url) as standby_url,
    ):
        run = Run(stack, standby_url, given.seed, given.duration)
        judgement = asyncio.run(measure(run))
    print(report(judgement, run))
    raise SystemExit(0 if judgement.holds else 1)


if __name__ == "__main__":
    main()
