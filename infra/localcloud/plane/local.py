"""The plane on this machine: addresses, processes, databases, caches, links and edges behind the Plane protocol."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from infra.localcloud.edge.routes import EdgeRoute, UpstreamGroup
from infra.localcloud.plane import addresses
from infra.localcloud.plane.addresses import AddressBook
from infra.localcloud.plane.attendants import ROOT, Attendant
from infra.localcloud.plane.backups import Backups
from infra.localcloud.plane.bundles import Bundles
from infra.localcloud.plane.caches import READY_TIMEOUT_S, cache_argv, cache_program, cache_question
from infra.localcloud.plane.claim import claim_octet, reclaim_octet, require_free
from infra.localcloud.plane.databases import PORT as DATABASE_PORT
from infra.localcloud.plane.databases import Databases
from infra.localcloud.plane.documents import read_document, write_document
from infra.localcloud.plane.doors import Door
from infra.localcloud.plane.failover import Failover
from infra.localcloud.plane.health import Question, http_question, until_ready
from infra.localcloud.plane.interface import (
    Backup,
    DatabaseSpec,
    Exited,
    HealthCheck,
    LogLine,
    Marks,
    PlaneError,
    ProcessStatus,
    ReplicaSpec,
    Route,
)
from infra.localcloud.plane.link_quality import LinkQuality
from infra.localcloud.plane.link_table import LinkTable
from infra.localcloud.plane.mail import MailSink
from infra.localcloud.plane.processes import Child, Supervisor, ended_within, settled, start_failed
from infra.localcloud.plane.spawning import Command, signal_group
from infra.localcloud.plane.traffic import marks_of
from infra.localcloud.world_clock import WorldClock

SUPABASE_API_PORT = 8000
SUPABASE_API_TIMEOUT_S = 30.0
DEFAULT_STOP_S = 10.0
DATABASE_STOP_S = 15.0


class LocalPlane:
    """One per home. `start` first: before it, no address is known. Not thread-safe; call from the daemon's main thread,
    to which the children's death signal is tied."""

    def __init__(self, home: Path, rtt_ms: float, clock: WorldClock | None = None) -> None:
        self._directory = home.resolve() / "cloud"
        self._book_path = self._directory / "plane.json"
        self._book: AddressBook | None = None
        self._claim: socket.socket | None = None
        self._supervisor = Supervisor(self._directory, clock)
        self._links_process = Attendant(self._supervisor, "links", "infra.localcloud.plane.links", (), self._directory)
        self._links = LinkTable(self._links_process, rtt_ms)
        self._edges: dict[str, Attendant] = {}
        self._edge_locks: dict[str, asyncio.Lock] = {}
        self._bundles = Bundles(self._directory)
        self._mail = MailSink(self._directory / "mail")
        self._databases = Databases(self._directory, self._supervisor, self._database_near_end)
        self._backups = Backups(self._databases, self._directory)
        self._doors: dict[str, Door] = {}
        self._shut_doors: list[Door] = []
        self._places: dict[str, str] = {}  # of replicas: where they listen
        self._failover = Failover(self._databases, self._backups.hand_over)

    async def start(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._claim_octet()
        try:
            await self._supervisor.reconcile()
            self._databases.open()
            await self._links.follow(self.book)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        if self._claim is None:
            return
        await self._mail.close()
        attendants = [*self._edges.values(), self._links_process]
        for attendant in attendants:
            attendant.retire()
        for edge in self._edges.values():  # first, while the replicas can still answer what is under way
            await edge.close()
        for door in (*self._doors.values(), *self._shut_doors):
            await door.close()
        await self._supervisor.close(DATABASE_STOP_S)
        await self._links_process.close()
        await self._databases.close()
        self._claim.close()
        self._claim = None

    # addresses and links

    @property
    def book(self) -> AddressBook:
        if self._book is None:
            raise PlaneError("the plane is not started")
        return self._book

    @property
    def octet(self) -> int:
        return self.book.octet

    @property
    def api_address(self) -> str:
        """The daemon's own address, in no region."""
        return f"127.{self.octet}.0.1"

    def allocate(self, region: str, owner: str) -> str:
        book, address = addresses.allocate(self.book, region, owner)
        self._keep(book)
        return address

    def free(self, owner: str) -> None:
        self._keep(addresses.free(self.book, owner))

    def seen_from(self, region: str, text: str) -> str:
        book, rewritten = addresses.seen_from(self.book, region, text)
        self._keep(book)
        return rewritten

    async def set_link(self, from_region: str, to_region: str, quality: LinkQuality) -> None:
        """Connections opened in `from_region` towards `to_region`; the opposite direction is a link of its own."""
        addresses.region_number(from_region)
        addresses.region_number(to_region)
        self._links.set(from_region, to_region, quality)
        await self._links.follow(self.book)

    # processes

    async def prepare_bundle(self, archive: Path, digest: str) -> Path:
        return await self._bundles.prepare(archive, digest)

    def python_for(self, bundle: Path) -> Path:
        return self._bundles.python_for(bundle)

    async def start_replica(self, spec: ReplicaSpec) -> None:
        await self._serve_at(spec.address, spec.port)
        child = await self._start(spec.key, Command(spec.argv, spec.cwd, spec.environment))
        if spec.health is not None:
            await self._await_ready(child, http_question(spec.address, spec.port, spec.health), spec.health.timeout_s)
        settled(child)
        self._places[spec.key] = spec.address

    def traffic(self, keys: Sequence[str]) -> dict[str, Marks]:
        running = {key: child.process.pid for key in keys if (child := self._supervisor.find(key)) is not None}
        return marks_of({key: (pid, self._places[key]) for key, pid in running.items() if key in self._places})

    async def hold_connections(self, key: str, address: str, ports: Sequence[int], on_knock: Callable[[], None]) -> None:
        for port in ports:
            self._keep(addresses.register_port(self.book, address, port))
        await self._links.follow(self.book)
        door = self._doors.setdefault(key, Door(address, on_knock))
        await door.listen(ports)

    def release_connections(self, key: str, address: str | None) -> None:
        if (door := self._doors.get(key)) is not None:
            door.open(address)

    def forget_connections(self, key: str) -> None:
        if (door := self._doors.pop(key, None)) is not None:
            door.shut()
            self._shut_doors = [door, *(found for found in self._shut_doors if found.has_visitors)]

    async def run_once(self, spec: ReplicaSpec, timeout_s: float) -> None:
        await self._links.follow(self.book)
        child = await self._start(spec.key, Command(spec.argv, spec.cwd, spec.environment))
        try:
            exit_code = await ended_within(child, timeout_s)
        finally:
            await self._supervisor.stop(spec.key, 0.0)
        if exit_code is None:
            raise start_failed(child, f"did not end within {timeout_s:g} s")
        if exit_code != 0:
            raise start_failed(child, f"ended with exit code {exit_code}, expected 0")

    async def stop_replica(self, key: str, drain_s: float) -> None:
        self._places.pop(key, None)
        await self._supervisor.stop(key, drain_s)

    async def start_cache(self, spec: ReplicaSpec) -> None:
        await self._serve_at(spec.address, spec.port)
        argv = cache_argv(cache_program(), spec.address, spec.port, spec.cwd, spec.argv)
        child = await self._start(spec.key, Command(argv, spec.cwd, spec.environment))
        await self._await_ready(child, cache_question(spec.address, spec.port), READY_TIMEOUT_S)
        settled(child)

    async def ensure_database(self, spec: DatabaseSpec) -> None:
        self._keep(addresses.register_port(self.book, spec.address, DATABASE_PORT))
        await self._links.follow(self.book)
        await self._databases.ensure(spec)

    async def remove_database(self, key: str) -> None:
        await self._databases.remove(key)
        await self._backups.forget(key)

    async def promote_database(self, standby_key: str) -> None:
        await self._failover.promote(standby_key)

    async def back_up_database(self, key: str) -> Backup:
        return await self._backups.create(key)

    def backups(self, key: str) -> list[Backup]:
        return self._backups.completed(key)

    async def restore_database(self, key: str, at_s: float | None) -> None:
        await self._backups.restore(key, at_s)

    async def ensure_supabase_api(self, key: str, address: str, environment: Mapping[str, str]) -> None:
        if self._supervisor.find(key) is not None:
            return
        await self._serve_at(address, SUPABASE_API_PORT)
        argv = (sys.executable, "-m", "infra.localcloud.supabase_api")
        own = {"HOST": address, "PORT": str(SUPABASE_API_PORT), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        child = await self._start(key, Command(argv, self._directory, own | dict(environment)))
        check = HealthCheck("/auth/v1/.well-known/jwks.json", SUPABASE_API_TIMEOUT_S)  # open to all; /health asks for a key
        await self._await_ready(child, http_question(address, SUPABASE_API_PORT, check), check.timeout_s)
        settled(child)

    async def set_replay_delay(self, key: str, delay_ms: int) -> None:
        await self._databases.set_replay_delay(key, delay_ms)

    def send_signal(self, key: str, number: signal.Signals) -> None:
        child = self._supervisor.find(key)
        if child is not None:
            signal_group(child.process.pid, number)

    async def stop(self, key: str) -> None:
        await self._supervisor.stop(key, DATABASE_STOP_S if self._databases.is_known(key) else DEFAULT_STOP_S)

    async def ensure_mail(self, address: str) -> None:
        await self._mail.ensure(address)
        self._keep(addresses.register_port(self.book, address, MailSink.PORT))
        await self._links.follow(self.book)

    # edges

    async def set_routes(self, region: str, routes: Sequence[Route]) -> None:
        async with self._edge_locks.setdefault(region, asyncio.Lock()):
            book = self.book
            for route in routes:
                book = addresses.register_port(book, route.address, route.port)
            table = []
            for route in routes:
                book, edge_route = self._edge_route(book, region, route)
                table.append(edge_route)
            self._keep(book)
            await self._links.follow(self.book)
            if region not in self._edges:
                addresses.region_number(region)
                arguments = (region,)
                self._edges[region] = Attendant(
                    self._supervisor, f"edge-{region}", "infra.localcloud.edge", arguments, self._directory
                )
            await self._edges[region].follow(table)

    def _edge_route(self, book: AddressBook, region: str, route: Route) -> tuple[AddressBook, EdgeRoute]:
        """Upstreams as this region reaches them, its own first, then by the round trip to theirs."""
        groups = []
        for other in sorted(route.upstreams, key=lambda name: self._links.distance_ms(region, name)):
            upstreams = []
            for host, port in route.upstreams[other]:
                book = addresses.register_port(book, host, port)
                book, reachable = addresses.near_end(book, region, host)
                upstreams.append((reachable, port))
            if upstreams:
                groups.append(UpstreamGroup(other, tuple(upstreams)))
        return book, EdgeRoute(
            route.domain, route.address, route.port, tuple(groups), route.is_deployed, route.is_by_host, route.is_tcp
        )

    # watching

    def events(self) -> AsyncIterator[Exited]:
        return self._supervisor.events()

    def logs(self, key: str, limit: int = 500) -> list[LogLine]:
        return self._supervisor.logs(key, limit)

    def status(self) -> list[ProcessStatus]:
        return self._supervisor.status()

    # inside

    def _claim_octet(self) -> None:
        known = read_document(self._book_path, AddressBook | None, None)  # type: ignore[arg-type]
        if known is not None:
            self._claim = reclaim_octet(known.octet)
            self._keep(addresses.without_orphans(known))
            return
        octet, self._claim = claim_octet(addresses.octets_to_probe(self._directory))
        self._keep(AddressBook(octet))

    def _keep(self, book: AddressBook) -> None:
        if book is not self._book:
            self._book = book
            write_document(self._book_path, book)

    async def _serve_at(self, address: str, port: int) -> None:
        """Before anything listens there: the place is free, and every link that leads to it is open."""
        require_free(address, port)
        self._keep(addresses.register_port(self.book, address, port))
        await self._links.follow(self.book)

    async def _database_near_end(self, region: str, address: str) -> str:
        book, reachable = addresses.near_end(self.book, region, address)
        self._keep(book)
        await self._links.follow(self.book)
        return reachable

    async def _start(self, key: str, command: Command) -> Child:
        child = await self._supervisor.start(key, command)
        child.is_wanted_end = True  # until it is ready its end is an error of this call, not an event
        return child

    async def _await_ready(self, child: Child, question: Question, timeout_s: float) -> None:
        try:
            await until_ready(child, question, timeout_s)
        except BaseException:
            await asyncio.shield(self._supervisor.stop(child.key, 0.0))
            raise
