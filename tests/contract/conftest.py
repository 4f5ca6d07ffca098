"""The local cloud that the contract is held against."""

from collections.abc import Iterator

import pytest

from tests.contract.cloud import Cloud, running_cloud


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running_cloud(tmp_path_factory.mktemp("home")) as cloud:
        yield cloud
