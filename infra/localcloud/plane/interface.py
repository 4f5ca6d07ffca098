"""What the control side (API, world, deployments) may ask of the plane (processes, addresses, links, edges).

The plane is the only spawner of processes. It holds no knowledge of projects, GraphQL or Supabase's API: it is told what
should run and reports what happened. Every method is idempotent where its name says `ensure`, bounded in time, and safe to
cancel. Everything that is running is written to `<home>/cloud/processes.json` before it is started, so that a plane that
was killed finds (and ends or adopts) what it left behind.

Errors: PlaneError
          +-- AddressInUse      an address or port that should be ours is taken by somebody else
          +-- StartFailed       a process ended or stayed unready before its deadline; carries the last log lines
          +-- BuildFailed       a bundle could not be unpacked or its dependencies not be installed
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infra.localcloud.plane.link_quality import LinkQuality

Marks = frozenset[tuple[int, ...]]
REGIONS = ("us-west2", "us-east4-eqdc4a", "europe-west4-drams3a", "asia-southeast1-eqsg3a")


class PlaneError(Exception):
    """The plane could not do what it was asked; the message is one line and says the next step."""


class AddressInUse(PlaneError):
    """An address or port that should be ours is taken."""


class StartFailed(PlaneError):
    """A process ended, or was not ready, before its deadline."""

    def __init__(self, message: str, last_lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.last_lines = tuple(last_lines)


class BuildFailed(PlaneError):
    """A bundle could not be unpacked, or its dependencies not be installed."""


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """GET `path` on the replica's own address and port until it answers 200 (Host healthcheck.railway.app)."""

    path: str
    timeout_s: float


@dataclass(frozen=True, slots=True)
class ReplicaSpec:
    """One process of one deployment. `key` is unique for ever; the log file is named by it."""

    key: str
    region: str
    address: str
    port: int
    argv: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str]
    health: HealthCheck | None = None


@dataclass(frozen=True, slots=True)
class DatabaseSpec:
    """A PostgreSQL server on `address`:5432. `primary_key` None means that it is a primary.

    A standby streams from the primary through the link between their regions.
    """

    key: str
    region: str
    address: str
    password: str
    primary_key: str | None = None


@dataclass(frozen=True, slots=True)
class Backup:
    """Of a primary; any moment from its completion on can be restored. Seconds since 1970, by the machine's clock."""

    id: str
    completed_s: float


@dataclass(frozen=True, slots=True)
class Exited:
    """A replica or server ended without having been asked to."""

    key: str
    exit_code: int
    last_lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """What an edge does for one domain: listen on `address`:`port` in `region`, forward to a healthy replica.

    `upstreams` maps region -> ((host, port), ...) of replicas that are up; the edge prefers its own region, then the
    nearest other one. Empty upstreams with `is_deployed` False answer 404, with True 502. `is_by_host` routes share an
    address: `domain` is then the host name that a request must name. `is_tcp` passes bytes on without looking at them.
    """

    domain: str
    region: str
    address: str
    port: int
    upstreams: Mapping[str, tuple[tuple[str, int], ...]]
    is_deployed: bool
    is_by_host: bool = False
    is_tcp: bool = False


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a process wrote; `timestamp` is RFC 3339 in UTC, `stream` stdout or stderr."""

    timestamp: str
    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    key: str
    pid: int | None
    is_running: bool
    started: str | None
    restarts: int
    memory_bytes: int | None
    cpu_s: float | None = None  # user and system time since its start
    is_paused: bool = False


class Plane(Protocol):
    """See the module docstring. Times in seconds."""

    async def start(self) -> None:
        """Claims the home's address octet, reconciles what an earlier run left, starts one edge per region on demand."""

    async def close(self) -> None:
        """Ends every process it started, in reverse order of start, each with a bounded wait."""

    # addresses and links
    @property
    def api_address(self) -> str:
        """The daemon's own address, in no region."""

    def allocate(self, region: str, owner: str) -> str:
        """A free 127.A.R.H of the region for `owner`; the same owner gets the same address again (persisted)."""

    def free(self, owner: str) -> None: ...

    def seen_from(self, region: str, text: str) -> str:
        """`text` with every address of another region replaced by the near end of its link (split horizon)."""

    async def set_link(self, from_region: str, to_region: str, quality: LinkQuality) -> None:
        """How connections opened in the one region towards the other fare; the opposite direction is a link of its own."""

    # processes
    async def prepare_bundle(self, archive: Path, digest: str) -> Path:
        """Unpacks (safely) and installs dependencies where needed; the working directory. BuildFailed."""

    def python_for(self, bundle: Path) -> Path:
        """The interpreter whose environment satisfies the bundle's service/requirements.lock."""

    async def start_replica(self, spec: ReplicaSpec) -> None:
        """Spawns, and waits for health if the spec has a check. StartFailed."""

    def traffic(self, keys: Sequence[str]) -> dict[str, Marks]:
        """Of replicas that run: a mark that was not there at the look before means that it has sent something since."""

    async def hold_connections(self, key: str, address: str, ports: Sequence[int], on_knock: Callable[[], None]) -> None:
        """Lets in whoever connects to `address` in place of the replica `key`, and calls `on_knock`; again for more ports."""

    def release_connections(self, key: str, address: str | None) -> None:
        """Those who wait for the replica, and those who still come, go on to it at `address`; None sends them away."""

    def forget_connections(self, key: str) -> None:
        """Nobody is let in any more; who went on stays. Unknown key: nothing to do, as above."""

    async def run_once(self, spec: ReplicaSpec, timeout_s: float) -> None:
        """Runs to the end (pre-deploy commands); StartFailed on a non-zero exit or on time-out."""

    async def stop_replica(self, key: str, drain_s: float) -> None:
        """SIGTERM, up to drain_s, SIGKILL. Unknown key: nothing to do."""

    async def start_cache(self, spec: ReplicaSpec) -> None:
        """A real valkey-server on the spec's address and port; argv holds valkey-server's own arguments, what it
        stores goes to cwd. StartFailed."""

    async def ensure_database(self, spec: DatabaseSpec) -> None:
        """A primary or a streaming standby, ready for connections when this returns. StartFailed."""

    async def remove_database(self, key: str) -> None:
        """Stops it and deletes its data."""

    async def ensure_supabase_api(self, key: str, address: str, environment: Mapping[str, str]) -> None:
        """`python -m infra.localcloud.supabase_api` on `address`:8000, ready when this returns. StartFailed."""

    async def set_replay_delay(self, key: str, delay_ms: int) -> None:
        """A standby applies what it receives this much later (0: at once). PlaneError for what is no running standby."""

    async def promote_database(self, standby_key: str) -> None:
        """The standby's data take the primary's place, the old primary's the standby's, which follows from there. PlaneError."""

    async def back_up_database(self, key: str) -> Backup:
        """A base backup of a running primary; from the first one on its log is archived. PlaneError."""

    def backups(self, key: str) -> list[Backup]:
        """Of a primary, oldest first."""

    async def restore_database(self, key: str, at_s: float | None) -> None:
        """A running primary's data as they were then (None: the newest), its standbys ended: ensure them again. PlaneError."""

    def send_signal(self, key: str, number: signal.Signals) -> None:
        """To the whole group of a process, as the outside world would: its end is reported. Unknown key: nothing to do."""

    async def stop(self, key: str) -> None:
        """Ends any process by its key."""

    async def ensure_mail(self, address: str) -> None:
        """The SMTP sink on `address`:2525."""

    # edges
    async def set_routes(self, region: str, routes: Sequence[Route]) -> None:
        """The whole table of one region's edge, swapped at once; requests under way are not disturbed."""

    # watching
    def events(self) -> AsyncIterator[Exited]:
        """Unasked-for ends, in order; one consumer."""

    def logs(self, key: str, limit: int = 500) -> list[LogLine]:
        """The newest `limit` lines of a process, oldest first; also after its end."""

    def status(self) -> list[ProcessStatus]: ...
