"""Compression: what is chosen for which Accept-Encoding, what comes out, and what is never compressed."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as some

from service.tokens.identity import IssuerUser
from service.upstream.auth_api import UpstreamAnswer
from service.web.answers import JSON_TYPE, Answer
from service.web.compression import Compression, chosen
from tests.service import issuing
from tests.service.parts import Parts
from tests.service.test_front import ME, Web, bearer

pytestmark = pytest.mark.anyio

PACKER = Compression(1000, 6)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ([], None),
        ([b""], None),
        ([b"gzip"], "gzip"),
        ([b"x-gzip"], "gzip"),
        ([b"GZIP"], "gzip"),
        ([b"zstd"], "zstd"),
        ([b"gzip, deflate, br, zstd"], "zstd"),
        ([b"br, deflate"], None),
        ([b"gzip;q=0"], None),
        ([b"gzip; q=0.000"], None),
        ([b"gzip;q=0.5, zstd;q=0.4"], "gzip"),
        ([b"gzip;q=0.5", b"zstd"], "zstd"),
        ([b"zstd;q=0, gzip;q=0.1"], "gzip"),
        ([b"*"], "zstd"),
        ([b"*;q=0"], None),
        ([b"*, zstd;q=0"], "gzip"),
        ([b"identity, gzip;q=0.5"], None),
        ([b"identity;q=0.5, gzip"], "gzip"),
        ([b"identity;q=0, *;q=0.1"], "zstd"),
        ([b"gzip;q=2"], None),
        ([b"gzip;q=0.1234"], None),
        ([b"gzip;q"], None),
        ([b"gzip;q=1;q=0"], None),
        ([b"gzip;level=9"], None),
        ([b", ,gzip,"], "gzip"),
        ([b"notgzip"], None),
    ],
)
def test_clients_word_is_read_with_its_quality_values(accepted: list[bytes], coding: str | None):
    assert chosen(accepted) == coding


@given(some.lists(some.binary(max_size=40), max_size=3))
def test_no_header_of_any_kind_is_a_fault(accepted: list[bytes]):
    assert chosen(accepted) in (None, "gzip", "zstd")


@settings(max_examples=30)
@given(some.binary(min_size=1000, max_size=3000), some.sampled_from([b"gzip", b"zstd"]))
def test_what_is_packed_unpacks_to_the_same(body: bytes, coding: bytes):
    answer = PACKER.applied(Answer(200, [JSON_TYPE, (b"content-length", b"%d" % len(body))], body), [coding])
    headers = dict(answer.headers)
    assert headers[b"content-encoding"] == coding
    assert [value for name, value in answer.headers if name == b"content-length"] == [b"%d" % len(answer.body)]
    assert (gzip.decompress if coding == b"gzip" else zstd.decompress)(answer.body) == body


@pytest.mark.parametrize(
    ("size", "kind", "is_packed"),
    [
        (999, b"application/json", False),
        (1000, b"application/json", True),
        (5000, b"text/plain; version=0.0.4", True),
        (5000, b"image/png", False),
        (5000, b"application/octet-stream", False),
        (5000, b"application/problem+json", True),
    ],
)
def test_only_what_is_worth_it_is_packed(size: int, kind: bytes, is_packed: bool):
    answer = PACKER.applied(Answer(200, [(b"content-type", kind)], b"a" * size), [b"gzip"])
    assert (b"content-encoding" in dict(answer.headers)) is is_packed
    assert (b"vary" in dict(answer.headers)) is is_packed


def test_gzip_level_is_the_settings():
    text = b"".join(b'{"id":%d,"name":"user-%d"},' % (number * 7919, number % 97) for number in range(2000))
    sizes = [len(Compression(0, level).encoded(text, "gzip")) for level in (1, 6)]
    assert sizes[0] > sizes[1]


def test_answer_that_was_not_packed_says_that_it_might_have_been():
    """A shared cache must not give the plain answer's twin to who cannot read it."""
    assert (b"vary", b"Accept-Encoding") in PACKER.applied(Answer(200, [JSON_TYPE], b"a" * 2000), []).headers


@pytest.fixture
async def web(anyio_backend: str) -> AsyncIterator[Web]:
    web = Web(Parts())
    async with web.client, web.behind:
        yield web
    await web.auth_api.close()
    await web.upstream.close()


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_large_user_is_packed(web: Web, coding: str, monkeypatch: pytest.MonkeyPatch):
    async def ask(_token: bytes) -> IssuerUser:
        return IssuerUser(issuing.USER, b'{"id":"%s","note":"%s"}' % (issuing.USER.encode(), b"a" * 2000))

    monkeypatch.setattr(web.parts.authenticator, "_ask_issuer", ask)
    answer = await web.client.get(ME, headers=[*bearer(issuing.token()), ("Accept-Encoding", coding)])
    assert answer.headers["content-encoding"] == coding
    assert int(answer.headers["content-length"]) < 300
    assert {"Origin", "Accept-Encoding"} <= {part.strip() for part in answer.headers["vary"].split(",")}


@pytest.mark.parametrize("path", ["login", "register", "refresh"])
async def test_answers_with_tokens_are_never_packed(web: Web, path: str, monkeypatch: pytest.MonkeyPatch):
    """BREACH: length would tell how much of what the caller chose is in the secret beside it."""
    large = UpstreamAnswer(400, {"content-type": "application/json"}, b'{"code":"x","message":"%s"}' % (b"a" * 5000))

    async def answered(*_: object) -> UpstreamAnswer:
        return large

    monkeypatch.setattr(web.auth_api, "grant", answered)
    monkeypatch.setattr(web.auth_api, "sign_up", answered)
    body = {"email": "a@example.com", "password": "p", "refresh_token": "r"}
    answer = await web.client.post(f"/api/v1/auth/{path}", json=body, headers={"Accept-Encoding": "gzip, zstd"})
    assert answer.status_code == 400
    assert "content-encoding" not in answer.headers
    assert answer.content == large.body


async def test_metrics_and_documents_are_packed(web: Web):
    for path, coding in (("/metrics", "gzip"), ("/openapi.json", "zstd")):
        answer = await web.client.get(path, headers={"Accept-Encoding": coding})
        assert answer.headers["content-encoding"] == coding
        assert len(answer.text) > 1000


@pytest.mark.parametrize("origin", ["https://app.example.com", "https://evil.example.com"])
async def test_preflights_answer_names_all_it_depends_on(web: Web, origin: str):
    answer = await web.client.options(ME, headers={"Origin": origin, "Access-Control-Request-Method": "GET"})
    assert answer.headers["vary"] == "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    assert "public" not in answer.headers["cache-control"]
