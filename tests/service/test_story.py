"""The whole thing with real processes: two replicas, PostgreSQL, Valkey, and the Auth stand-in as a black box."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from loadtests.bench.replica_stack import Replica, ReplicaStack, running_stack

pytestmark = pytest.mark.story

PASSWORD = "a long enough one 1"
VERIFY, ME = "/api/v1/auth/verify", "/api/v1/auth/me"
DEADLINE_S = 15.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaStack]:
    with running_stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture(scope="module")
def replicas(stack: ReplicaStack) -> tuple[Replica, Replica]:
    return stack.start_replica(REGION="us-west2"), stack.start_replica(REGION="europe-west4-drams3a")


class Browser:
    """A user's client: one account, and the tokens it was given."""

    def __init__(self, replica: Replica, email: str) -> None:
        self.http = httpx.Client(base_url=replica.url, timeout=10)
        self.email = email
        self.tokens: dict[str, Any] = {}

    def register(self) -> httpx.Response:
        return self._post("register", {"email": self.email, "password": PASSWORD, "display_name": "Ann"})

    def log_in(self) -> httpx.Response:
        return self._post("login", {"email": self.email, "password": PASSWORD})

    def refresh(self) -> httpx.Response:
        return self._post("refresh", {"refresh_token": self.tokens["refresh_token"]})

    def log_out(self, scope: str = "local") -> httpx.Response:
        return self.http.post(f"/api/v1/auth/logout?scope={scope}", headers=self.bearer)

    def get(self, path: str, replica: Replica | None = None) -> httpx.Response:
        return self.http.get((replica.url if replica else "") + path, headers=self.bearer)

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}

    def _post(self, name: str, body: dict[str, str]) -> httpx.Response:
        answer = self.http.post(f"/api/v1/auth/{name}", json=body)
        if answer.is_success:
            self.tokens = answer.json()
        return answer


@contextmanager
def visitor(replica: Replica) -> Iterator[tuple[Browser, Replica]]:
    """A registered user of a replica that a test has for itself."""
    browser = Browser(replica, "ann@example.com")
    with browser.http:
        assert browser.register().status_code == 201
        yield browser, replica


def until(condition: Callable[[], bool]) -> float:
    """Seconds until `condition()` was true. Fails past the deadline."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < DEADLINE_S, "did not come true"
        time.sleep(0.002)
    return time.monotonic() - began


def metric(replica: Replica, line: str) -> float:
    found = re.search(rf"^{re.escape(line)} (.+)$", httpx.get(f"{replica.url}/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.fixture
def ann(replicas: tuple[Replica, Replica]) -> Iterator[Browser]:
    """A fresh account, logged in at the first replica."""
    browser = Browser(replicas[0], f"{uuid4().hex}@example.com")
    with browser.http:
        assert browser.register().status_code == 201
        yield browser


def test_log_in_here_is_known_there_and_log_out_ends_it_everywhere(ann: Browser, replicas: tuple[Replica, Replica]):
    """The story the service exists for."""
    there = replicas[1]
    assert ann.log_in().status_code == 200
    assert ann.get(VERIFY).headers["x-cache"] == "l1", "log-in warmed the cache"
    until(lambda: ann.get(VERIFY, there).headers["x-cache"] in ("l2", "l1"))
    assert ann.get(VERIFY, there).headers["x-cache"] == "l1"
    assert ann.log_out().status_code == 204
    assert ann.get(VERIFY).json()["code"] == "session_revoked", "here at once"
    took_s = until(lambda: ann.get(VERIFY, there).status_code == 401)
    assert took_s < 2, "the stated bound"
    assert ann.get(VERIFY, there).json()["code"] == "session_revoked"
    assert ann.log_out().status_code in (401, 403, 404), "the issuer's own answer, passed on"


def test_me_has_user_and_profile(ann: Browser, replicas: tuple[Replica, Replica]):
    answer = ann.get(ME, replicas[1])
    assert answer.status_code == 200
    assert answer.json()["email"] == ann.email
    assert answer.json()["profile"]["display_name"] == "Ann"
    assert (answer.json()["roles"], answer.json()["permissions"]) == ([], [])


def test_user_changes_her_name_and_sees_it_everywhere(ann: Browser, replicas: tuple[Replica, Replica]):
    changed = ann.http.patch(ME, json={"display_name": "Änne"}, headers=ann.bearer)
    assert (changed.status_code, changed.json()["profile"]["display_name"]) == (200, "Änne")
    assert "x-ratelimit-remaining" in changed.headers
    for replica in replicas:
        assert ann.get(ME, replica).json()["profile"] == changed.json()["profile"]
    assert ann.log_out().status_code == 204
    assert ann.http.patch(ME, json={"display_name": "Eve"}, headers=ann.bearer).status_code == 401


def test_refresh_gives_a_new_token_that_is_known_at_once(ann: Browser):
    first = ann.tokens["access_token"]
    assert ann.refresh().status_code == 200
    assert ann.get(VERIFY).status_code == 200
    assert ann.tokens["access_token"] != first or ann.get(VERIFY).headers["x-cache"] == "l1"


def test_issuers_refusals_are_passed_on_as_they_are(ann: Browser):
    wrong = ann.http.post("/api/v1/auth/login", json={"email": ann.email, "password": "wrong"})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_credentials")
    assert wrong.headers["x-sb-error-code"] == "invalid_credentials"
    again = ann.register()
    assert (again.status_code, again.json()["code"]) == (422, "user_already_exists")
    unknown = ann.http.post("/api/v1/auth/refresh", json={"refresh_token": "unknown"})
    assert (unknown.status_code, unknown.json()["code"]) == (400, "refresh_token_not_found")


def test_log_out_others_spares_this_session(ann: Browser, replicas: tuple[Replica, Replica]):
    other = Browser(replicas[1], ann.email)
    with other.http:
        assert other.log_in().status_code == 200
        assert other.get(VERIFY).status_code == 200
        assert ann.log_out("others").status_code == 204
        until(lambda: other.get(VERIFY).status_code == 401)
        until(lambda: ann.get(VERIFY).status_code == 200)
        assert ann.get(VERIFY, replicas[1]).status_code == 200


def test_log_in_right_after_a_global_log_out_works_everywhere(ann: Browser, replicas: tuple[Replica, Replica]):
    """Within the same second as the watermark: the fresh token must not be taken for an ended one."""
    assert ann.log_out("global").status_code == 204
    assert ann.log_in().status_code == 200
    assert ann.get(VERIFY).status_code == 200
    assert ann.get(VERIFY, replicas[1]).status_code == 200


@pytest.mark.parametrize("by", ["user_id", "session_id"])
def test_administrator_revokes_and_no_refresh_brings_it_back(
    ann: Browser, by: str, replicas: tuple[Replica, Replica], stack: ReplicaStack
):
    assert ann.get(VERIFY, replicas[1]).status_code == 200
    who = ann.get(VERIFY).headers
    subject = {"user_id": who["x-auth-user-id"], "session_id": who["x-auth-session-id"]}[by]
    key = {"Authorization": f"Bearer {stack.service_role_key}"}
    answer = ann.http.post("/api/v1/auth/revoke", json={by: subject}, headers=key)
    assert answer.status_code == 202
    assert answer.json()["sequence"] > 0
    assert ann.get(VERIFY).status_code == 401
    until(lambda: ann.get(VERIFY, replicas[1]).status_code == 401)
    assert ann.refresh().status_code == 400


def test_first_log_in_sets_off_its_jobs_once(ann: Browser, stack: ReplicaStack, replicas: tuple[Replica, Replica]):
    user_id = ann.get(VERIFY).headers["x-auth-user-id"]
    ann.log_in()
    folder = stack.directory / "storage"
    until(lambda: any(user_id in str(path) for path in folder.rglob("*")))
    until(lambda: sum(metric(replica, "cached_auth_jobs_done_total") for replica in replicas) >= 3)
    assert sum(metric(replica, "cached_auth_jobs_failed_total") for replica in replicas) == 0


def test_silent_issuer_leaves_cached_tokens_alone_and_makes_503_of_the_rest(tmp_path: Path):
    """Redis goes away first, then the issuer; nothing of it may become a 401."""
    with running_stack(tmp_path) as stack, visitor(stack.start_replica(CACHE_TTL_S="3600")) as (ann, replica):
        stack.valkey.stop()
        assert ann.get(VERIFY).status_code == 200
        ready = httpx.get(f"{replica.url}/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        stack.supabase.end()
        assert ann.get(VERIFY).headers["x-cache"] == "l1"
        for answer in (ann.log_in(), ann.refresh()):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert replica.program.end() == 0


def test_database_that_goes_away_fails_closed(tmp_path: Path):
    """Without the feed a cached answer needs the issuer's word; without that too, there is none to give."""
    with running_stack(tmp_path) as stack, visitor(stack.start_replica()) as (ann, replica):
        assert ann.get(VERIFY).headers["x-cache"] == "l1"
        stack.supabase.end(signal.SIGKILL)
        with stopped(postmaster_of(stack)):
            until(lambda: ann.get(VERIFY).status_code == 503)
            ready = httpx.get(f"{replica.url}/health/ready", timeout=10)
            assert ready.status_code == 503
            assert ready.json()["parts"]["revocation_feed"] == "silent"
        until(lambda: ann.get(VERIFY).status_code == 200)


class stopped:  # noqa: N801 - reads as a verb
    """SIGSTOP to a whole process tree for the time of the block: a database that neither answers nor closes."""

    def __init__(self, pid: int) -> None:
        import psutil

        process = psutil.Process(pid)
        self._processes = [process, *process.children(recursive=True)]

    def __enter__(self) -> None:
        for process in self._processes:
            process.suspend()

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.resume()


def postmaster_of(stack: ReplicaStack) -> int:
    return int((stack.database_files / "postmaster.pid").read_text().splitlines()[0])


def test_drain_finishes_what_is_under_way_and_ends_with_0(stack: ReplicaStack):
    replica = stack.start_replica(DRAIN_S="5")
    host, port = replica.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as slow:
        body = json.dumps({"email": "nobody@example.com", "password": "x"}).encode()
        head = [
            "POST /api/v1/auth/login HTTP/1.1",
            "Host: x",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "",
            "",
        ]
        slow.sendall("\r\n".join(head).encode() + body[:5])
        for _ in range(2):  # whoever answers what came later has read the head, which must happen before the signal comes
            assert httpx.get(f"{replica.url}/health/live").status_code == 200
        replica.program.process.send_signal(signal.SIGTERM)
        until(lambda: not accepts(host, int(port)))
        slow.sendall(body[5:])
        answer = slow.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in answer
    assert replica.program.process.wait(10) == 0


def accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("flood", [b"X-A: " + b"a" * 40_000, b"\r\n".join(b"X-%d: a" % number for number in range(200))])
def test_headers_are_bounded(replicas: tuple[Replica, Replica], flood: bytes):
    host, port = replicas[0].url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n" + flood + b"\r\n\r\n")
        assert connection.recv(1024).startswith(b"HTTP/1.1 400 ")


def asked_raw(replica: Replica, request: bytes, answers: int = 1) -> list[bytes]:
    """The answers (each without a body) to bytes on a fresh connection, without what differs each time."""
    host, port = replica.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        received = b""
        while received.count(b"\r\n\r\n") < answers and (data := connection.recv(65_536)):
            received += data
    return re.sub(rb"(date|x-process-time): [^\r]*\r\n", b"", received).split(b"\r\n\r\n")[:-1]


ODD_WAYS = {
    "scheme in lower case": lambda token: [b"Authorization: bearer " + token],
    "two blanks before the end": lambda token: [b"Authorization: Bearer " + token + b"  "],
    "with a body": lambda token: [b"Authorization: Bearer " + token, b"Content-Length: 0"],
    "expecting to be asked": lambda token: [b"Authorization: Bearer " + token, b"Expect: 100-continue"],
    "wanting an upgrade": lambda token: [b"Authorization: Bearer " + token, b"Connection: Upgrade", b"Upgrade: websocket"],
}


@pytest.mark.parametrize("fields", ODD_WAYS.values(), ids=ODD_WAYS.keys())
def test_shortcut_and_long_way_give_the_same_answer(
    ann: Browser, replicas: tuple[Replica, Replica], fields: Callable[[bytes], list[bytes]]
):
    """Byte for byte: the protocol answers plain requests itself, the front answers the odd ones."""
    token = ann.tokens["access_token"].encode()
    head = b"GET /api/v1/auth/verify HTTP/1.1\r\nHost: x\r\nOrigin: https://app.example.com\r\n"
    plain = asked_raw(replicas[0], head + b"Authorization: Bearer " + token + b"\r\n\r\n")
    odd = asked_raw(replicas[0], head + b"\r\n".join(fields(token)) + b"\r\n\r\n")
    assert plain == odd
    assert plain[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"access-control-allow-origin: https://app.example.com" in plain[0]


def test_pipelined_requests_are_answered_in_order(ann: Browser, replicas: tuple[Replica, Replica]):
    """A quick answer must not overtake a slow one on the same connection."""
    bearer = b"Host: x\r\nAuthorization: Bearer " + ann.tokens["access_token"].encode() + b"\r\n\r\n"
    slow = b"OPTIONS /api/v1/auth/login HTTP/1.1\r\nHost: x\r\n\r\n"
    quick = b"GET /api/v1/auth/verify HTTP/1.1\r\n" + bearer
    body = b"GET /api/v1/auth/verify HTTP/1.1\r\nContent-Length: 3\r\n" + bearer + b"abc"
    answers = asked_raw(replicas[0], quick + slow + quick + body + slow + quick, answers=6)
    assert [answer.split(b" ", 2)[1] for answer in answers] == [b"200", b"204", b"200", b"200", b"204", b"200"]


@pytest.mark.parametrize(
    "request_line", [b"GET /api/v1/auth/verify HTTP/1.0", b"GET /api/v1/auth/verify HTTP/1.1\r\nConnection: close"]
)
def test_connection_that_shall_close_is_closed(ann: Browser, replicas: tuple[Replica, Replica], request_line: bytes):
    request = request_line + b"\r\nHost: x\r\nAuthorization: Bearer " + ann.tokens["access_token"].encode() + b"\r\n\r\n"
    answers = asked_raw(replicas[0], request, answers=2)
    assert len(answers) == 1, "the second read ended because the server closed"
    assert b"connection: close" in answers[0]


def test_hit_cut_at_every_byte_is_answered_once_whole(ann: Browser, replicas: tuple[Replica, Replica]):
    """Requests arrive in pieces; a shortcut taken too early would answer half a token."""
    token = ann.tokens["access_token"].encode()
    request = b"GET /api/v1/auth/verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + b"\r\n\r\n"
    host, port = replicas[0].url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for cut in range(1, len(request), 7):
            connection.sendall(request[:cut])
            connection.sendall(request[cut:])
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_logs_hold_neither_tokens_nor_addresses(ann: Browser, stack: ReplicaStack):
    ann.get(VERIFY)
    ann.log_out()
    for log in stack.directory.glob("replica-*.log"):
        text = log.read_text()
        assert "eyJ" not in text
        assert "@example.com" not in text
        assert PASSWORD not in text
        assert ann.tokens["refresh_token"] not in text
        for line in text.splitlines():
            assert json.loads(line)["event"]


def test_replica_starts_with_the_service_and_its_own_requirements_only(tmp_path: Path):
    """A release holds `service` and nothing else of this repository, so it may import nothing else of it."""
    code = "import sys, service.server, service.database.migrate; print(sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert not {"infra", "loadtests", "tests", "pulumi", "locust"} & set(json.loads(done.stdout.replace("'", '"')))
