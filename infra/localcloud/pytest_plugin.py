"""`pytest_plugins = ["infra.localcloud.pytest_plugin"]` in a conftest.py: the fixtures `local_cloud` and `empty_cloud`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.localcloud.testing import TestCloud
from infra.localcloud.testing import local_cloud as started

__all__ = ["empty_cloud", "local_cloud"]


@pytest.fixture(scope="session")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestCloud]:
    """One local cloud for the session (and per worker of pytest-xdist)."""
    with started(tmp_path_factory.mktemp("local-cloud")) as cloud:
        yield cloud


@pytest.fixture
def empty_cloud(local_cloud: TestCloud) -> Iterator[TestCloud]:
    """The session's cloud without faults before the test, and without projects and faults after it."""
    local_cloud.end_faults()
    yield local_cloud
    local_cloud.end_faults()
    local_cloud.empty()
