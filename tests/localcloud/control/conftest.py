"""A running control side per test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.localcloud.control.harness import Harness, running


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Harness]:
    async with running(tmp_path) as harness:
        yield harness
