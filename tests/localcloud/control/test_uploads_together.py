"""Two bundles that arrive at the same moment, as two cells' do when they run different releases."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from infra.localcloud.railway_api import upload
from infra.localcloud.world.model import World


def posted(body: bytes) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({"type": "http", "method": "POST", "headers": [], "query_string": b""}, receive)


def is_there(path: Path) -> bool:
    return path.exists()


@pytest.fixture
async def arrived(tmp_path: Path) -> AsyncIterator[Path]:
    """An archive that is complete, and whose deployment is not on record yet."""
    release = await upload.receive(posted(gzip.compress(b"bundle")), tmp_path)
    archive = upload.archive_of(release, tmp_path)
    yield archive
    upload._arriving.pop(archive, None)


@pytest.mark.anyio
async def test_an_upload_does_not_take_a_bundle_that_just_arrived_for_unused(arrived: Path) -> None:
    """It did: the deployment that the bundle was for then failed without a file."""
    upload.delete_unused(World(), arrived.parent)
    assert is_there(arrived)


@pytest.mark.anyio
async def test_a_bundle_that_nothing_refers_to_goes(arrived: Path) -> None:
    del upload._arriving[arrived]
    upload.delete_unused(World(), arrived.parent)
    assert not is_there(arrived)
