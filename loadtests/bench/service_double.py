"""A small real HTTP server that acts as the service in two regions and as Supabase's admin API, with faults to inject.

Run as a process: `python service_double.py --fault delay`; prints the stack outputs as JSON once it listens. It is the gate's
test object, not a copy of the service: it keeps exactly the promises that the scenarios check, and breaks what it is told to.
Ends when its standard input closes, so that no test can leave it behind.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
import time
import uuid
from functools import partial
from typing import cast

import bcrypt

FAULTS = (
    "none",
    "delay",
    "stall",
    "errors",
    "cold-cache",
    "wrong-cors",
    "revocation-unseen",
    "revocation-one-replica",
    "mixed-identity",
    "slow-generator",
    "swallow",
    "token-in-error",
)
ORIGIN = "http://localhost:3000"
PROPAGATION_S = 0.03
STALL_AFTER_S = 1.5
STALL_S = 2.0


class World:
    """Users, sessions, what each region knows."""

    def __init__(self, faults: list[str], amount: float) -> None:
        self.faults = frozenset(faults)
        self.amount = amount
        self.users: dict[str, tuple[str, str]] = {}
        self.sessions: dict[str, tuple[str, str, str]] = {}
        self.revoked: dict[str, set[str]] = {"east": set(), "west": set()}
        self.cached: dict[str, set[str]] = {"east": set(), "west": set()}
        self.right_passwords: set[tuple[str, str]] = set()
        self.requests = 0
        self.stall_at: float | None = None

    def is_password_right(self, password_hash: str, password: str) -> bool:
        """Real bcrypt, once per pair: the double must not be what limits the load."""
        if (password_hash, password) not in self.right_passwords:
            if not bcrypt.checkpw(password.encode(), password_hash.encode()):
                return False
            self.right_passwords.add((password_hash, password))
        return True

    def sign_in(self, email: str, password: str) -> dict[str, object] | None:
        user = self.users.get(email)
        if user is None or not self.is_password_right(user[1], password):
            return None
        session_id = str(uuid.uuid4())
        claims = {"sub": user[0], "session_id": session_id, "role": "authenticated"}
        token = ".".join(
            base64.urlsafe_b64encode(part).decode().rstrip("=")
            for part in (b'{"alg":"none"}', json.dumps(claims).encode(), b"s" * 32)
        )
        self.sessions[token] = (user[0], session_id, email)
        return {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": 3600,
            "refresh_token": uuid.uuid4().hex,
            "user": {"id": user[0], "email": email},
        }


Reply = tuple[int, dict[str, str], bytes]


def as_json(status: int, document: object) -> Reply:
    return status, {"content-type": "application/json"}, json.dumps(document).encode()


def answer(world: World, region: str, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply | None:
    """None: never answer."""
    if region == "supabase":
        return admin(world, path, body)
    if path.startswith("/health/"):
        return as_json(200, {"status": "ok"})
    if method == "OPTIONS":
        origin = "https://elsewhere.example" if "wrong-cors" in world.faults else ORIGIN
        allow = {
            "origin": origin,
            "credentials": "true",
            "methods": "GET, POST, OPTIONS",
            "headers": "authorization, content-type",
        }
        return (
            204,
            {f"access-control-allow-{name}": value for name, value in allow.items()} | {"access-control-max-age": "3600"},
            b"",
        )
    if path == "/api/v1/auth/login":
        asked = json.loads(body)
        found = world.sign_in(asked["email"], asked["password"])
        return as_json(200, found) if found else as_json(400, {"code": "invalid_credentials", "message": "no"})
    if path == "/api/v1/auth/revoke":
        return revoke(world, region, json.loads(body)["session_id"])
    if path == "/api/v1/auth/verify":
        return verify(world, region, headers.get("authorization", "").removeprefix("Bearer "))
    return as_json(404, {"code": "not_found", "message": path})


def admin(world: World, path: str, body: bytes) -> Reply:
    asked = json.loads(body)
    if path.startswith("/auth/v1/token"):
        found = world.sign_in(asked["email"], asked["password"])
        return as_json(200, found) if found else as_json(400, {"code": "invalid_credentials"})
    if asked["email"] in world.users:
        return as_json(422, {"code": "email_exists", "message": "already exists"})
    world.users[asked["email"]] = (str(uuid.uuid4()), asked["password_hash"])
    return as_json(200, {"id": world.users[asked["email"]][0]})


def revoke(world: World, region: str, session_id: str) -> Reply:
    for name, known in world.revoked.items():
        if "revocation-unseen" in world.faults and name != region:
            continue
        asyncio.get_running_loop().call_later(0 if name == region else PROPAGATION_S, known.add, session_id)
    return as_json(202, {"sequence": 1})


def verify(world: World, region: str, token: str) -> Reply | None:
    world.requests += 1
    if "stall" in world.faults and world.stall_at is None:
        world.stall_at = time.monotonic() + STALL_AFTER_S
        asyncio.get_running_loop().call_later(STALL_AFTER_S, time.sleep, STALL_S)
    if "errors" in world.faults and world.requests % round(100 / world.amount) == 0:
        return as_json(500, {"code": "broken", "message": "injected"})
    if "token-in-error" in world.faults and world.requests % 50 == 0:
        return as_json(500, {"code": "broken", "message": f"token {token}"})
    if "swallow" in world.faults and world.requests % 100 == 0:
        return None
    found = world.sessions.get(token)
    is_stale_replica = "revocation-one-replica" in world.faults and region == "west" and world.requests % 2 == 0
    if found is None or (found[1] in world.revoked[region] and not is_stale_replica):
        return as_json(401, {"code": "invalid", "message": "revoked"})
    cache = "l1" if token in world.cached[region] else "miss"
    if "cold-cache" not in world.faults:
        world.cached[region].add(token)
    user_id = found[0]
    if "mixed-identity" in world.faults and world.requests % 200 == 0:
        user_id = str(uuid.uuid4())
    return 200, {"x-auth-user-id": user_id, "x-auth-session-id": found[1], "x-auth-role": "authenticated", "x-cache": cache}, b""


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, no pipelining: what the gate's client speaks."""

    def __init__(self, world: World, region: str) -> None:
        self.world = world
        self.region = region
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, separator, rest = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        method, path, _ = first.split(" ")
        reply = answer(self.world, self.region, method, path, headers, rest[:length])
        if reply is None:
            return
        delays = "delay" in self.world.faults and self.region != "supabase"
        asyncio.get_running_loop().call_later(self.world.amount / 1000 if delays else 0, self.send, reply)

    def send(self, reply: Reply) -> None:
        status, headers, body = reply
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
        if status != 204:
            lines.append(f"content-length: {len(body)}")
        if not self.transport.is_closing():
            self.transport.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


async def serve(faults: list[str], amount: float) -> None:
    world = World(faults, amount)
    loop = asyncio.get_running_loop()
    urls = {}
    for region in ("east", "west", "supabase"):
        server = await loop.create_server(partial(Connection, world, region), "127.0.0.1", 0, backlog=4096)
        urls[region] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    outputs = {
        "stack": "double",
        "endpoint": urls["east"],
        "release": "sha256:" + "0" * 64,
        "regions": {
            region: {"url": urls[region], "replica_urls": [], "replicas": 2, "release": ""} for region in ("east", "west")
        },
        "supabase_url": urls["supabase"],
        "anon_key": "anon-key-of-the-double",
        "service_role_key": "service-role-key-of-the-double",
    }
    print(json.dumps(outputs), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fault", choices=FAULTS, nargs="+", default=["none"])
    parser.add_argument("--amount", type=float, default=1.0, help="delay in ms, or errors in per cent")
    chosen = parser.parse_args()
    asyncio.run(serve(chosen.fault, chosen.amount))
