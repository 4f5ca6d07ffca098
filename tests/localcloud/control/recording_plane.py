"""A plane without processes: it keeps what it was told and lets a test say what happens. Behaves as the Protocol says."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from infra.localcloud.plane.interface import (
    REGIONS,
    Backup,
    BuildFailed,
    DatabaseSpec,
    Exited,
    LogLine,
    Marks,
    PlaneError,
    ProcessStatus,
    ReplicaSpec,
    Route,
    StartFailed,
)
from infra.localcloud.plane.link_quality import LinkQuality


class RecordingPlane:
    """`calls` is the story in order. Sets and dicts named `...fails` make the next calls about a key prefix fail."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.owners: dict[str, str] = {}
        self.running: dict[str, ReplicaSpec] = {}
        self.databases: dict[str, DatabaseSpec] = {}
        self.gateways: dict[str, Mapping[str, str]] = {}
        self.routes: dict[str, Sequence[Route]] = {}
        self.links: dict[tuple[str, str], LinkQuality] = {}
        self.kept_backups: list[Backup] = []
        self.also_running: set[str] = set()  # of databases and gateways, that `status` shows
        self.usage: dict[str, tuple[int, float]] = {}
        self.pids: dict[str, int] = {}
        self.lines: dict[str, list[LogLine]] = {}
        self.sent: dict[str, int] = {}  # packets of a replica
        self.doors: dict[str, tuple[str, tuple[int, ...], Callable[[], None]]] = {}
        self.start_fails = False
        self.build_fails = False
        self.pre_deploy_fails = False
        self.starts_held: asyncio.Event | None = None
        self._hosts = dict.fromkeys(REGIONS, 1)
        self._events: asyncio.Queue[Exited] = asyncio.Queue()

    async def start(self) -> None:
        self.calls.append("start")

    async def close(self) -> None:
        self.running.clear()

    def allocate(self, region: str, owner: str) -> str:
        if owner not in self.owners:
            self._hosts[region] += 1
            self.owners[owner] = f"127.99.{REGIONS.index(region) + 1}.{self._hosts[region]}"
        return self.owners[owner]

    def free(self, owner: str) -> None:
        self.owners.pop(owner, None)

    def seen_from(self, region: str, text: str) -> str:
        own = REGIONS.index(region) + 1
        for address in self.owners.values():
            number = int(address.split(".")[2])
            if number != own:
                text = text.replace(address, f"near-{own}({address})")
        return text

    async def set_link(self, from_region: str, to_region: str, quality: LinkQuality) -> None:
        self.links[from_region, to_region] = quality

    async def prepare_bundle(self, archive: Path, digest: str) -> Path:
        if self.build_fails:
            raise BuildFailed("bundle: not a readable tar archive")
        assert archive.suffix == ".gz"
        return Path("/bundle") / digest.removeprefix("sha256:")

    def python_for(self, bundle: Path) -> Path:
        return Path("/venv/bin/python")

    async def start_replica(self, spec: ReplicaSpec) -> None:
        if self.starts_held is not None:
            await self.starts_held.wait()
        self.calls.append(f"start {spec.region}")
        if self.start_fails:
            raise StartFailed(f"{spec.key}: not ready within 1 s", ("first line", "last line"))
        assert spec.key not in self.running
        self.running[spec.key] = spec
        self.lines.setdefault(spec.key, []).append(LogLine("2026-11-24T00:00:00.000000Z", "stdout", f"hello from {spec.key}"))

    def traffic(self, keys: Sequence[str]) -> dict[str, Marks]:
        return {key: frozenset({(self.sent.get(key, 0),)}) for key in keys if key in self.running}

    async def hold_connections(self, key: str, address: str, ports: Sequence[int], on_knock: Callable[[], None]) -> None:
        self.doors[key] = (address, tuple(ports), on_knock)

    def release_connections(self, key: str, address: str | None) -> None:
        if key in self.doors:
            self.calls.append(f"on to {address}")

    def forget_connections(self, key: str) -> None:
        self.doors.pop(key, None)

    async def run_once(self, spec: ReplicaSpec, timeout_s: float) -> None:
        self.calls.append(f"run_once {' '.join(spec.argv)}")
        if self.pre_deploy_fails:
            raise StartFailed(f"{spec.key}: ended with exit code 1", ("no such table",))

    async def stop_replica(self, key: str, drain_s: float) -> None:
        if self.running.pop(key, None) is not None:
            self.calls.append(f"stop {drain_s:g}")

    async def start_cache(self, spec: ReplicaSpec) -> None:
        self.calls.append(f"cache {spec.address}:{spec.port} {' '.join(spec.argv)}")
        assert all(found.address != spec.address for found in self.running.values()), "address in use"
        self.running[spec.key] = spec

    async def ensure_database(self, spec: DatabaseSpec) -> None:
        if spec.primary_key is not None and spec.primary_key not in self.databases:
            raise PlaneError("no such primary")
        self.databases[spec.key] = spec

    async def remove_database(self, key: str) -> None:
        self.databases.pop(key, None)

    async def ensure_supabase_api(self, key: str, address: str, environment: Mapping[str, str]) -> None:
        self.gateways[key] = environment

    async def set_replay_delay(self, key: str, delay_ms: int) -> None:
        assert self.databases[key].primary_key is not None
        self.calls.append(f"replay_delay {delay_ms}")

    async def promote_database(self, standby_key: str) -> None:
        if self.databases[standby_key].primary_key is None:
            raise PlaneError("expected a standby")
        self.calls.append(f"promote {standby_key}")

    async def back_up_database(self, key: str) -> Backup:
        made = Backup(f"backup-{len(self.kept_backups) + 1}", 1000.0 + len(self.kept_backups))
        self.kept_backups.append(made)
        return made

    def backups(self, key: str) -> list[Backup]:
        return list(self.kept_backups)

    async def restore_database(self, key: str, at_s: float | None) -> None:
        if not any(at_s is None or found.completed_s <= at_s for found in self.kept_backups):
            raise PlaneError("no backup from before that moment")
        self.calls.append(f"restore {key} {at_s}")

    def send_signal(self, key: str, number: signal.Signals) -> None:
        self.calls.append(f"{number.name} {key}")

    async def stop(self, key: str) -> None:
        self.gateways.pop(key, None)
        self.running.pop(key, None)

    async def ensure_mail(self, address: str) -> None:
        self.calls.append("mail")

    async def set_routes(self, region: str, routes: Sequence[Route]) -> None:
        self.routes[region] = routes
        up = sum(len(found) for route in routes for found in route.upstreams.values())
        self.calls.append(f"routes {region} {up}")

    async def events(self) -> AsyncIterator[Exited]:
        while True:
            yield await self._events.get()

    def logs(self, key: str, limit: int = 500) -> list[LogLine]:
        return self.lines.get(key, [])[-limit:]

    def status(self) -> list[ProcessStatus]:
        return [
            ProcessStatus(key, self.pids.get(key, 1), True, None, 0, *self.usage.get(key, (None, None)))
            for key in (*self.running, *self.also_running)
        ]

    def end(self, key: str, exit_code: int) -> None:
        """A process ends by itself."""
        self.running.pop(key, None)
        self.also_running.discard(key)
        self._events.put_nowait(Exited(key, exit_code, ("goodbye",)))
