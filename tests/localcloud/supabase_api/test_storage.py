"""Objects: files that come back as they went, and paths that stay inside."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.localcloud.supabase_api import storage
from infra.localcloud.supabase_api.object_keys import KeyInvalid, place
from tests.localcloud.supabase_api.client import Client

asynchronous = pytest.mark.anyio


@pytest.fixture
async def bucket(client: Client) -> Client:
    answer = await client.storage("POST", "bucket", b'{"name": "users"}')
    assert answer.json() == {"name": "users"}
    return client


@asynchronous
async def test_an_object_comes_back_as_it_went(bucket: Client) -> None:
    up = await bucket.storage("POST", "object/users/a/b.txt", b"hello", **{"content-type": "text/plain"})
    assert up.status_code == 200
    assert up.json()["Key"] == "users/a/b.txt"
    down = await bucket.storage("GET", "object/users/a/b.txt")
    assert (down.content, down.headers["content-type"]) == (b"hello", "text/plain; charset=utf-8")
    head = await bucket.storage("HEAD", "object/users/a/b.txt")
    assert (head.content, head.headers["content-length"]) == (b"", "5")
    part = await bucket.storage("GET", "object/users/a/b.txt", range="bytes=1-2")
    assert (part.status_code, part.content) == (206, b"el")


@asynchronous
async def test_an_object_is_replaced_only_on_request(bucket: Client) -> None:
    await bucket.storage("POST", "object/users/a", b"1")
    refused = await bucket.storage("POST", "object/users/a", b"2")
    assert (refused.status_code, refused.json()["statusCode"], refused.json()["error"]) == (400, "409", "Duplicate")
    await bucket.storage("POST", "object/users/a", b"3", **{"x-upsert": "true"})
    assert (await bucket.storage("GET", "object/users/a")).content == b"3"


@asynchronous
async def test_of_two_first_uploads_at_once_one_wins_whole(bucket: Client) -> None:
    uploads = [
        bucket.storage("POST", "object/users/a", kind.encode(), **{"content-type": f"text/{kind}"}) for kind in ("plain", "html")
    ]
    assert sorted(answer.status_code for answer in await asyncio.gather(*uploads)) == [200, 400]
    winner = await bucket.storage("GET", "object/users/a")
    assert winner.headers["content-type"].startswith(f"text/{winner.text}")


@asynchronous
async def test_a_name_may_be_an_object_and_a_folder(bucket: Client) -> None:
    """An object store has no folders; `a` and `a/b` are two names."""
    await bucket.storage("POST", "object/users/a", b"file")
    await bucket.storage("POST", "object/users/a/b", b"below")
    assert (await bucket.storage("GET", "object/users/a")).content == b"file"
    assert (await bucket.storage("GET", "object/users/a/b")).content == b"below"


@asynchronous
async def test_a_deleted_object_is_gone(bucket: Client) -> None:
    await bucket.storage("POST", "object/users/a", b"1")
    assert (await bucket.storage("DELETE", "object/users/a")).json() == {"message": "Successfully deleted"}
    for method in ("GET", "DELETE"):
        gone = await bucket.storage(method, "object/users/a")
        assert (gone.status_code, gone.json()["statusCode"]) == (400, "404")


@asynchronous
async def test_buckets_exist_once_and_before_their_objects(bucket: Client) -> None:
    assert (await bucket.storage("POST", "bucket", b'{"name": "users"}')).json()["statusCode"] == "409"
    assert (await bucket.storage("POST", "object/none/a", b"1")).json()["message"] == "Bucket not found"
    assert (await bucket.storage("POST", "bucket", b'{"name": "../x"}')).json()["code"] == "InvalidBucketName"


@asynchronous
async def test_only_the_service_key_opens_storage(bucket: Client) -> None:
    for key in (bucket.settings.anon_key, "", "nonsense"):
        answer = await bucket.storage("POST", "object/users/a", b"1", authorization=f"Bearer {key}")
        assert (answer.status_code, answer.json()["statusCode"]) == (400, "403")


@asynchronous
async def test_no_path_leaves_the_bucket(bucket: Client) -> None:
    for key in ("%2e%2e/%2e%2e/signing.json", "a/%2e%2e/%2e%2e/b", "%2fetc/passwd", "a%00b", "a//b", "..%2f..%2fx", "a/"):
        answer = await bucket.storage("POST", f"object/users/{key}", b"1", **{"x-upsert": "true"})
        assert answer.status_code in (400, 404), key
        assert answer.status_code == 404 or answer.json()["code"] == "InvalidKey", key
    assert not list(bucket.settings.storage_dir.parent.glob("x"))


@asynchronous
async def test_a_large_upload_is_refused_and_leaves_nothing(bucket: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "OBJECT_BYTES_MAX", 1000)
    answer = await bucket.storage("POST", "object/users/a", b"x" * 1001)
    assert answer.json()["statusCode"] == "413"
    assert not [path for path in bucket.settings.storage_dir.rglob("*") if path.is_file()]


@given(st.text(max_size=40), st.text(max_size=60))
def test_every_accepted_name_lies_below_the_root(bucket: str, key: str) -> None:
    root = Path("/root/of/storage")
    try:
        where = place(root, bucket, key)
    except KeyInvalid:
        return
    assert where.data.resolve().is_relative_to(root)
    assert where.data.parent.resolve() != root, "objects lie in buckets"


@given(st.lists(st.text("ab=+/%.", min_size=1, max_size=6), min_size=2, max_size=2, unique=True))
def test_two_names_never_share_a_place(keys: list[str]) -> None:
    places = []
    for key in keys:
        try:
            where = place(Path("/root"), "users", key)
        except KeyInvalid:
            return
        places += [where.data, where.facts]
    assert len(set(places)) == 4
    assert not set(places) & {parent for where in places for parent in where.parents}
