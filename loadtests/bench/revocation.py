"""Revocation with real processes that go wrong, judged from outside: two replicas, PostgreSQL, Valkey, the Auth stand-in.

    python -m loadtests.bench.revocation [--seed 1] [--duration 60] [--when-silent ask|refuse]

One replica is near the primary, one 40 ms away over links that are cut and frozen; that one is also stopped (SIGSTOP), continued
and killed (-9), one fault at a time with health in between. Askers ask both all the time; sessions are ended by log-out at a
replica, by log-out at the issuer itself and by an administrator, users by an administrator; with `refuse` also everyone's old
tokens.
Prints what loadtests/history.py makes of it, and the figures. Exits with 1 where a promise did not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from loadtests.bench.link import Link, linked, relayed
from loadtests.bench.replica_stack import Replica, ReplicaStack, running_stack
from loadtests.history import Answered, Fault, History, Judgement, Kind, Outcome, Revoked, Token, judge, percentile

ROUND_TRIP_S = 0.04
PASSWORD = "a long enough one 1"  # noqa: S105 - of accounts that live for a minute
ASKERS = 3
PAUSE_S = 0.01
TOKENS_MIN = 6
FAULT_S = (0.5, 4.0)
HEALTH_S = (3.0, 5.0)
START_S = 3.0


class Run:
    """Everything under way, and the history it writes."""

    def __init__(self, stack: ReplicaStack, seed: int, when_silent: str, duration_s: float) -> None:
        self.stack = stack
        self.random = random.Random(seed)  # noqa: S311 - a schedule, no secrets
        self.when_silent = when_silent
        self.history = History()
        self.replicas: dict[str, Replica] = {}
        self.links: dict[str, Link] = {}
        self.begun = time.monotonic()
        self.duration_s = duration_s
        self.client = httpx.AsyncClient(timeout=10.0, limits=httpx.Limits(max_connections=100))
        self._number = 0
        self._live: list[Token] = []
        self._ended: list[Token] = []

    @property
    def now(self) -> float:
        return time.monotonic() - self.begun

    @property
    def is_over(self) -> bool:
        return self.now >= self.duration_s

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
            token = self.random.choice([*self._live, *self._live, *self._ended[-8:]])
            asked_at = self.now
            outcome = await self._outcome(replica, token)
            self.history.answers.append(Answered(asked_at, self.now, replica, token.name, outcome))
            await asyncio.sleep(PAUSE_S)

    async def revoke(self) -> None:
        ways: list[Callable[[Token], object]] = [self._by_log_out, self._at_the_issuer, self._by_session, self._by_user]
        if self.when_silent == "refuse":
            ways.append(self._by_age)
        while self.now < self.duration_s - 3.0:
            while len(self._live) < TOKENS_MIN:
                await self.log_in()
            await asyncio.sleep(self.random.uniform(0.3, 1.0))
            token = self.random.choice(self._live)
            await self.random.choice(ways)(token)  # type: ignore[misc]
            ended = [one for one in self._live if any(_ends(done, one) for done in self.history.revocations)]
            self._ended += ended
            self._live = [one for one in self._live if one not in ended]

    async def break_things(self) -> None:
        faults = [self._cut, self._freeze, self._cut_all, self._stop, self._kill]
        self.random.shuffle(faults)
        while self.now < self.duration_s - 8.0:
            await asyncio.sleep(self.random.uniform(*HEALTH_S))
            fault = faults.pop(0)
            faults.append(fault)
            began_at = self.now
            await fault(self.random.uniform(*FAULT_S))
            self.history.faults.append(Fault(fault.__name__.strip("_"), "far", began_at, self.now))

    def start_far(self) -> None:
        address = {"DATABASE_URL": self._urls[0], "SUPABASE_URL": self._urls[1], "REDIS_URL": "", "REGION": "far"}
        self.replicas["far"] = self.stack.start_replica(**address, REVOCATION_WHEN_SILENT=self.when_silent)

    @asynccontextmanager
    async def replicas_up(self) -> AsyncIterator[None]:
        port = urlsplit(self.stack.supabase_url).port
        assert port is not None
        async with (
            linked(self.stack.database_url, ROUND_TRIP_S * 1000) as (database_url, self.links["database"]),
            relayed(lambda: asyncio.open_connection("127.0.0.1", port), ROUND_TRIP_S * 1000) as (far, self.links["issuer"]),
        ):
            self._urls = (database_url, f"http://127.0.0.1:{far}")
            self.replicas["near"] = await asyncio.to_thread(
                self.stack.start_replica, REGION="near", REVOCATION_WHEN_SILENT=self.when_silent
            )
            await asyncio.to_thread(self.start_far)
            self.begun = time.monotonic()
            yield
            for link in self.links.values():
                link.mend()
            await asyncio.to_thread(self.replicas["far"].program.end)

    async def _outcome(self, replica: str, token: Token) -> Outcome:
        try:
            url = f"{self.replicas[replica].url}/api/v1/auth/verify"
            answer = await self.client.get(url, headers={"Authorization": f"Bearer {token.name}"})
        except httpx.HTTPError:
            return "unavailable"
        return {200: "accepted", 401: "refused"}.get(answer.status_code, "unavailable")  # type: ignore[return-value]

    async def _noted(self, kind: Kind, subject: str, url: str, watermark_iat: float = 0.0, **request: Any) -> None:
        revoked = Revoked(kind, subject, self.now, None, watermark_iat)
        self.history.revocations.append(revoked)
        answer = await self.client.post(url, **request)
        if answer.status_code in (200, 202, 204):
            revoked.acknowledged_at = self.now

    async def _by_log_out(self, token: Token) -> None:
        url = f"{self.replicas['near'].url}/api/v1/auth/logout?scope=local"
        await self._noted("session", token.session, url, headers={"Authorization": f"Bearer {token.name}"})

    async def _at_the_issuer(self, token: Token) -> None:
        headers = {"Authorization": f"Bearer {token.name}", "apikey": self.stack.environment["SUPABASE_ANON_KEY"]}
        await self._noted("session", token.session, f"{self.stack.supabase_url}/auth/v1/logout?scope=local", headers=headers)

    async def _by_session(self, token: Token) -> None:
        await self._administered("session", token.session, {"session_id": token.session})

    async def _by_user(self, token: Token) -> None:
        await self._administered("user", token.user, {"user_id": token.user})

    async def _by_age(self, _token: Token) -> None:
        before = int(time.time()) - 5
        await self._administered("everyone", "", {"issued_before": before}, before - 1)

    async def _administered(self, kind: Kind, subject: str, body: dict[str, object], watermark_iat: float = 0.0) -> None:
        headers = {"Authorization": f"Bearer {self.stack.service_role_key}"}
        url = f"{self.replicas['near'].url}/api/v1/auth/revoke"
        await self._noted(kind, subject, url, watermark_iat, json=body, headers=headers)

    async def _cut(self, duration_s: float) -> None:
        self.links["database"].cut()
        await asyncio.sleep(duration_s)
        self.links["database"].mend()

    async def _cut_all(self, duration_s: float) -> None:
        for link in self.links.values():
            link.cut()
        await asyncio.sleep(duration_s)
        for link in self.links.values():
            link.mend()

    async def _freeze(self, duration_s: float) -> None:
        self.links["database"].freeze()
        await asyncio.sleep(duration_s)
        self.links["database"].mend()

    async def _stop(self, duration_s: float) -> None:
        process = self.replicas["far"].program.process
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(duration_s)
        process.send_signal(signal.SIGCONT)

    async def _kill(self, _duration_s: float) -> None:
        program = self.replicas["far"].program
        program.process.kill()
        await asyncio.to_thread(program.process.wait, 10)
        await asyncio.to_thread(self.start_far)
        await asyncio.sleep(START_S)


def claims_of(token: str) -> dict[str, object]:
    part = token.split(".")[1]
    claims: dict[str, object] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def _ends(revoked: Revoked, token: Token) -> bool:
    if revoked.kind == "everyone":
        return token.claimed_iat <= revoked.watermark_iat
    return revoked.subject in (token.session, token.user) and token.issued_at <= revoked.asked_at


async def measure(stack: ReplicaStack, seed: int, duration_s: float, when_silent: str) -> tuple[Judgement, History]:
    run = Run(stack, seed, when_silent, duration_s)
    async with run.client, run.replicas_up():
        for _ in range(TOKENS_MIN):
            await run.log_in()
        async with asyncio.TaskGroup() as group:
            for replica in ("near", "far"):
                for _ in range(ASKERS):
                    group.create_task(run.ask(replica))
            group.create_task(run.revoke())
            group.create_task(run.break_things())
    return judge(run.history, round_trip_s=ROUND_TRIP_S), run.history


def report(judgement: Judgement, history: History) -> str:
    outcomes = [answer.outcome for answer in history.answers]
    told = [revoked for revoked in history.revocations if revoked.acknowledged_at is not None]
    faults = ", ".join(f"{fault.what} {fault.ended_at - fault.began_at:.1f} s" for fault in history.faults)
    seen_ms = [seconds * 1000 for seconds in judgement.seen_s]
    counted = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in ("accepted", "refused", "unavailable"))
    return "\n".join(
        [
            f"{len(outcomes)} answers: {counted}",
            f"{len(told)} revocations acknowledged; faults at the far replica: {faults}",
            f"still accepted after the acknowledgement by a healthy replica, {len(seen_ms)} cases: "
            f"p50 {percentile(seen_ms, 0.5):.0f}, p99 {percentile(seen_ms, 0.99):.0f}, max {max(seen_ms, default=0):.0f} ms "
            f"(allowed {judgement.allowed_s * 1000:.0f} ms)",
            f"verdict: {judgement}",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--duration", type=float, default=60.0)
    parser.add_argument("--when-silent", choices=("ask", "refuse"), default="ask")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cached-auth-bench-") as folder, running_stack(Path(folder)) as stack:
        judgement, history = asyncio.run(measure(stack, given.seed, given.duration, given.when_silent))
    print(report(judgement, history))
    raise SystemExit(0 if judgement.holds else 1)


if __name__ == "__main__":
    main()
