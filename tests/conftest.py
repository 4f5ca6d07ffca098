"""Fixtures for every room."""

import functools
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.warm import warm_environment


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def warm() -> Iterator[Path]:
    """A virtualenv whose interpreter starts in no time."""
    with warm_environment() as folder:
        yield folder


@pytest.fixture(scope="session", autouse=True)
def roots_read_once() -> Iterator[None]:
    """Every client of httpx reads the trusted roots, 50 ms of processor time; here none of a thousand uses them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx._transports.default, "create_ssl_context", functools.cache(httpx.create_ssl_context))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long by itself begins first, so that nobody waits for it in the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
