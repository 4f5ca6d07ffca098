"""What the protocol answers by itself: the same as the long way, to the right one, and only while the laws hold."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.cache.entries import Entry
from service.metrics.counters import Counters
from service.tokens.identity import Identity
from service.web.answers import JSON_TYPE, Answer
from service.web.cors import Cors
from service.web.drop_in import KeptUser, Variant
from service.web.shortcut import SHAPES_MAX, VERIFY, Shortcut
from tests.service import issuing
from tests.service.parts import Hands, Parts
from tests.service.test_front import ORIGIN, Web, bearer
from tests.service.test_plain_head import Whole

pytestmark = pytest.mark.anyio

SESSIONS = {letter: f"{letter * 8}-0000-4000-8000-000000000000" for letter in "ab"}
TOKENS = {letter: issuing.token(session_id=session) for letter, session in SESSIONS.items()}
A, B = TOKENS["a"], TOKENS["b"]
LINE = b"GET %b HTTP/1.1\r\n" % VERIFY.encode()
PLAIN = LINE + b"Host: x\r\nAuthorization: Bearer " + A + b"\r\n\r\n"
DATE = [(b"date", b"Thu, 26 Nov 2026 03:00:00 GMT")]


@pytest.fixture
async def web(anyio_backend: str) -> AsyncIterator[Web]:
    web = Web(Parts())
    for token in TOKENS.values():
        await web.parts.verify(token)
    async with web.client, web.behind:
        yield web
    await web.auth_api.close()
    await web.upstream.close()


def at_once(web: Web, data: bytes) -> bytes | None:
    assert web.front.at_once is not None
    return web.front.at_once(data, DATE)


def session_of(answer: bytes | None) -> str | None:
    found = re.search(rb"x-auth-session-id: (\S+)", answer or b"")
    return found and found[1].decode()


def without_time(line: bytes) -> bytes:
    return re.sub(rb"^x-process-time: 0\.\d{6}$", b"x-process-time", line)


@pytest.mark.parametrize("origin", [None, ORIGIN, "https://evil.example"])
@pytest.mark.parametrize("name", ["Authorization", "authorization"])
async def test_the_answer_is_that_of_the_long_way(web: Web, origin: str | None, name: str):
    field = b"" if origin is None else b"Origin: " + origin.encode() + b"\r\n"
    request = LINE + field + name.encode() + b": Bearer " + A + b"\r\n\r\n"
    answer = at_once(web, request)
    assert answer is not None
    assert answer == at_once(web, request), "known shapes are answered like new ones"
    long_way = await web.client.get(VERIFY, headers=[*bearer(A), *([] if origin is None else [("Origin", origin)])])
    lines = [b"%b: %b" % field for field in long_way.headers.raw]
    status, date, *told = answer.split(b"\r\n")
    assert (status, date, told[-2:]) == (b"HTTP/1.1 200 OK", b"date: " + DATE[0][1], [b"", b""])
    assert sorted(map(without_time, told[:-2])) == sorted(map(without_time, lines))


FIELDS = st.sampled_from(
    [
        b"Host: x\r\n",
        b"Authorization: Bearer %b\r\n" % A,
        b"Authorization: Bearer %b\r\n" % B,
        b"authorization: Bearer %b\r\n" % B,
        b"X-Authorization: Bearer %b\r\n" % A,
        b"Proxy-authorization: Bearer %b\r\n" % B,
        b"X: Authorization: Bearer %b\r\n" % A,
        b"Content-Length: 4\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b" folded\r\n",
        b"\r\n",
        b"\n",
        LINE,
        PLAIN,
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=st.lists(st.lists(FIELDS, max_size=5), min_size=1, max_size=6))
@example(
    requests=[
        [b"X-Authorization: Bearer %b\r\n" % A, b"Authorization: Bearer %b\r\n" % A],
        [b"X-Authorization: Bearer %b\r\n" % B, b"Authorization: Bearer %b\r\n" % A],
    ]
)
async def test_law_only_one_whole_request_is_answered_and_to_whom_its_authorization_names(web: Web, requests: list[list[bytes]]):
    """Shapes are remembered, so what one request looked like must not decide for another that is read differently."""
    for fields in requests:
        for data in (LINE + b"".join(fields), LINE + b"".join(fields) + b"\r\n"):
            answer = at_once(web, data)
            if answer is not None:
                whole = Whole(data)
                assert (whole.is_valid, whole.begun, whole.ended, whole.body, whole.keeps_alive) == (True, 1, 1, b"", True)
                named = [value for name, value in whole.headers if name == b"authorization"]
                assert [session_of(answer)] == [SESSIONS[letter] for letter in "ab" if named == [b"Bearer " + TOKENS[letter]]]
        assert session_of(at_once(web, PLAIN)) == SESSIONS["a"]


async def test_users_of_one_client_share_a_shape_and_get_their_own_answers(web: Web):
    for letter in "abab":
        assert session_of(at_once(web, PLAIN.replace(A, TOKENS[letter]))) == SESSIONS[letter]


async def test_law_a_known_shape_helps_no_token_that_ended(web: Web):
    assert at_once(web, PLAIN) is not None
    web.parts.revoke_session(SESSIONS["b"])
    assert at_once(web, PLAIN.replace(A, B)) is None
    assert at_once(web, PLAIN) is not None, "found good again, after something was revoked"
    web.parts.revoke_session(SESSIONS["a"])
    assert at_once(web, PLAIN) is None


async def test_law_neither_time_nor_silence_is_outlived(web: Web):
    assert at_once(web, PLAIN) is not None
    web.parts.feed.is_alive = False
    web.parts.hands.forward(2.5)
    assert at_once(web, PLAIN) is None
    web.parts.feed.is_alive = True
    assert at_once(web, PLAIN) is not None
    web.parts.hands.forward(300)
    assert at_once(web, PLAIN) is None


async def test_shapes_that_never_come_back_are_bounded(web: Web):
    for number in range(2 * SHAPES_MAX):
        assert at_once(web, PLAIN.replace(b"Host: x", b"X-Request-Id: %d" % number)) is not None
    verifying = web.shortcut._verify_shapes
    assert 0 < len(verifying) <= SHAPES_MAX
    assert at_once(web, PLAIN.replace(A, b"made.up.token").replace(b"Host: x", b"X: new")) is None
    assert 0 < len(verifying) <= SHAPES_MAX, "only what a good token came in is remembered"


async def test_hits_are_counted(web: Web):
    before = web.parts.counters.l1_hits
    for _ in range(3):
        at_once(web, PLAIN)
    route = web.parts.counters.route(VERIFY)
    assert (route.statuses[200], route.durations.count, web.parts.counters.l1_hits - before) == (3, 3, 3)
    assert len(web.parts.counters.recent_s) == 3


class Users:
    """What the drop-in has in memory, by variant."""

    def __init__(self, answer: Answer, head_lines: bytes) -> None:
        identity = Identity(issuing.USER, issuing.SESSION, "", "", 0.0, 1e12, "")
        self.kept = {(b"key", None, None, None): KeptUser(Entry(identity, None, 1e12, 0.0, b""), answer, head_lines)}

    def kept_user(self, token: bytes, variant: Variant) -> KeptUser | None:
        return self.kept.get(variant) if token == A else None


@pytest.mark.parametrize(
    ("fields", "is_told"),
    [
        (b"apikey: key\r\n", True),
        (b"", False),
        (b"apikey: other\r\n", False),
        (b"apikey: key\r\napikey: key\r\n", False),
        (b"apikey: key\r\nX-JWT-AUD: other\r\n", False),
        (b"apikey: key\r\nOrigin: https://a.example\r\n", False),
        (b"apikey: key\r\nX-Client-Info: x\r\n", True),
        (b"apikey: key\r\nContent-Length: 0\r\n", False),
    ],
)
def test_user_of_the_drop_in_is_told_for_the_very_variant(fields: bytes, is_told: bool):
    parts = Parts(Hands())
    users = Users(Answer(200, [JSON_TYPE], b'{"id":1}'), b"content-length: 8\r\n\r\n")
    verifier = Web(parts).verifier
    shortcut = Shortcut(verifier, users.kept_user, Cors([], 1), Counters(), parts.clock)
    request = b"GET /auth/v1/user HTTP/1.1\r\n" + fields + b"Authorization: Bearer "
    for _ in range(2):
        answer = shortcut.at_once(request + A + b"\r\n\r\n", DATE)
        expected = b"HTTP/1.1 200 OK\r\ndate: " + DATE[0][1] + b'\r\ncontent-length: 8\r\n\r\n{"id":1}'
        assert answer == (expected if is_told else None)
        assert shortcut.at_once(request + B + b"\r\n\r\n", DATE) is None
