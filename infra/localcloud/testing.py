"""A local cloud for tests, of this project or of another: public and kept stable.

    from infra.localcloud.testing import local_cloud

    def test_my_client(tmp_path):
        with local_cloud(tmp_path) as cloud:
            client = RailwayClient(cloud.graphql_url, cloud.token)
            ...
            cloud.link("us-west2", "europe-west4-drams3a", partitioned=True)
            cloud.advance(3600)

With pytest also as a fixture of one cloud per session: `pytest_plugins = ["infra.localcloud.pytest_plugin"]` in conftest.py,
then ask for `local_cloud`. Any number of clouds run at once, each with a home, addresses and a token of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.localcloud import lifecycle
from infra.localcloud.daemon_file import DaemonRecord

__all__ = ["TestCloud", "local_cloud"]


@dataclass(frozen=True, slots=True)
class TestCloud:
    """A running local cloud. Methods raise DaemonRefused, one line, where it says no."""

    __test__ = False  # no test class, whatever its name begins with
    home: Path
    record: DaemonRecord

    @property
    def url(self) -> str:
        """The daemon's URL: both APIs lie below it, Supabase's Management API at /v1."""
        return self.record.url

    @property
    def graphql_url(self) -> str:
        return f"{self.record.url}/graphql/v2"

    @property
    def token(self) -> str:
        """The account's token, for both APIs."""
        return Path(self.record.token_file).read_text(encoding="ascii").strip()

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One of the endpoints below /_local (docs/localcloud.md)."""
        return lifecycle.ask(self.record, method, path, body)

    def status(self) -> dict[str, Any]:
        return self.ask("GET", "/_local/status")

    def process(self, name: str, action: str) -> dict[str, Any]:
        """kill, pause, resume, down or up of what `status` calls by this name."""
        return self.ask("POST", "/_local/faults/processes", {"key": name, "action": action})

    def link(self, from_region: str, to_region: str, *, both: bool = True, **settings: Any) -> None:
        """rtt_ms, jitter_ms, loss_rate, seed, cut, partitioned; what is left out stays."""
        self.ask("POST", "/_local/links", {"from": from_region, "to": to_region, "both": both, **settings})

    def api_faults(self, **settings: dict[str, Any]) -> None:
        """graphql={...}, rate_limit={...}, deletions={...}; what is left out is off."""
        self.ask("POST", "/_local/faults", settings)

    def end_faults(self) -> None:
        self.ask("DELETE", "/_local/faults")

    def advance(self, duration_s: float) -> None:
        """Moves the cloud's clock forward."""
        self.ask("POST", "/_local/time", {"advance_s": duration_s})

    def empty(self) -> None:
        """Deletes every project; the daemon, its address and its token stay."""
        self.ask("POST", "/_local/reset")


@contextlib.contextmanager
def local_cloud(home: Path, rtt_ms: float | None = None) -> Iterator[TestCloud]:
    """Started in `home` (any directory that can be written), and gone with all its processes and data afterwards."""
    try:
        yield TestCloud(home.resolve(), lifecycle.start(home, rtt_ms))
    finally:
        lifecycle.reset(home)
