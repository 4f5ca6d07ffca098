"""The daemon: claims its place, brings back what ran, serves until it is asked to stop, and leaves nothing running."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import uvicorn

from infra.localcloud.app import Surroundings, build_app
from infra.localcloud.claiming import DaemonRefused, only_one, private_directory
from infra.localcloud.conducting.clock import timestamp
from infra.localcloud.conducting.conductor import Conductor
from infra.localcloud.conducting.keeper import Keeper
from infra.localcloud.conducting.store import Store
from infra.localcloud.daemon_file import VERSION, DaemonRecord, remove_record, write_record
from infra.localcloud.link_settings import RTT_MS_DEFAULT, Links
from infra.localcloud.page.sessions import Sessions
from infra.localcloud.plane.interface import Plane
from infra.localcloud.plane.local import LocalPlane
from infra.localcloud.railway_api.call import Cloud
from infra.localcloud.railway_api.faults import Faults
from infra.localcloud.world.transitions import SetPort
from infra.localcloud.world_clock import CLOCK_FILE, WorldClock

PORTS = range(8700, 8800)
PAGE_ADDRESS = "127.0.0.1"  # where a person looks; which port is free there differs from start to start
INHERITED = ("PATH", "HOME", "LANG", "TZ")
LINKS_FILE = "links.json"
MAIL_OWNER = "mail"
MAIL_REGION = "us-west2"
STOP_TIMEOUT_S = 60.0
_logger = logging.getLogger("localcloud")


def ensure_token(path: Path) -> str:
    """The account token, made once, mode 0600."""
    try:
        token = path.read_text(encoding="ascii").strip()
        if token:
            return token
    except FileNotFoundError:
        pass
    token = secrets.token_urlsafe(32)
    partial = path.with_name(f"{path.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token)
    partial.replace(path)
    return token


def ports_to_try(home: Path) -> list[int]:
    """Every port once, the first one decided by the home's path."""
    first = int.from_bytes(hashlib.sha256(str(home).encode()).digest()[4:8], "big") % len(PORTS)
    return [PORTS[(first + step) % len(PORTS)] for step in range(len(PORTS))]


def listening_socket(address: str, known: int | None, home: Path) -> socket.socket:
    """On the port this home has, or on the first free one if it has none yet. DaemonRefused."""
    for port in [known] if known is not None else ports_to_try(home):
        # Without IPPROTO_TCP asyncio does not see a TCP socket and leaves Nagle on: 45 ms an answer on kept-alive connections.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
            listener.listen(1024)
        except OSError as exc:
            listener.close()
            if exc.errno == errno.EADDRINUSE:
                continue
            raise DaemonRefused(f"cannot listen on {address}:{port}: {exc.strerror}; see python -m infra.cli doctor") from exc
        listener.setblocking(False)
        return listener
    if known is not None:
        raise DaemonRefused(
            f"{address}:{known}, this home's own address, is taken by another program: end it "
            f"(ss -ltnp 'sport = :{known}' shows it) and start again"
        )
    raise DaemonRefused(f"no free port between {PORTS[0]} and {PORTS[-1]} on {address}: end what listens there and start again")


class _Stopping(Exception):
    """The orderly end of the daemon's tasks."""


class _Server(uvicorn.Server):
    """Signals are the daemon's business: uvicorn would raise them again after its own shutdown."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(home: Path, rtt_ms: float | None) -> None:
    """Runs until SIGTERM, SIGINT or /_local/shutdown. DaemonRefused, StoreError, PlaneError before anything was changed.

    `home` is absolute and resolved. `rtt_ms` None keeps every link as it was; a number sets all of them.
    """
    private_directory(home)
    cloud = private_directory(home / "cloud")
    private_directory(cloud / "uploads")
    with only_one(cloud):
        store = Store(cloud / "world.json")
        world = store.read()  # before anything starts: a damaged file must not cost the processes their state
        links = Links(cloud / LINKS_FILE, rtt_ms)
        clock = WorldClock(cloud / CLOCK_FILE)
        plane = LocalPlane(home, RTT_MS_DEFAULT, clock)
        async with _running(plane):
            await links.apply(plane)
            await _serve(home, cloud, links, Keeper(store, world, clock), plane)


@contextlib.asynccontextmanager
async def _running(plane: Plane) -> AsyncIterator[None]:
    try:
        await plane.start()
        yield
    finally:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await plane.close()


async def _serve(home: Path, cloud: Path, links: Links, keeper: Keeper, plane: Plane) -> None:
    world = keeper.world
    mail = plane.allocate(MAIL_REGION, MAIL_OWNER)
    listener = listening_socket(plane.api_address, world.port, home)
    page_listener = listening_socket(PAGE_ADDRESS, None, home)
    page_url = f"http://{PAGE_ADDRESS}:{page_listener.getsockname()[1]}/page/"
    port = int(listener.getsockname()[1])
    if world.port != port:
        await keeper.apply(SetPort(port))
    token_file = cloud / "token"
    url = f"http://{plane.api_address}:{port}"
    record = DaemonRecord(
        pid=os.getpid(),
        started=timestamp(),
        url=url,
        supabase_url=url,
        token_file=str(token_file),
        version=VERSION,
        process_started=psutil.Process().create_time(),
    )
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    base = {name: os.environ[name] for name in INHERITED if name in os.environ}
    try:
        async with asyncio.TaskGroup() as tasks:
            conductor = Conductor(keeper, plane, cloud, base, tasks)
            around = Surroundings(
                token=ensure_token(token_file),
                directory=cloud,
                base_url=url,
                links=links,
                faults=Faults(),
                on_shutdown=stopping.set,
                daemon={"pid": record.pid, "started": record.started, "url": url, "mail": f"{mail}:2525"},
                page_url=page_url,
                sessions=Sessions(),
            )
            app = build_app(Cloud(keeper, plane, conductor, str(home)), around)
            server = _Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=5))
            serving = tasks.create_task(server.serve(sockets=[listener, page_listener]), name="http")
            await plane.ensure_mail(mail)
            conductor.start()
            await _started(server, serving)
            write_record(cloud, record)
            _logger.info("ready at %s", url)
            await stopping.wait()
            _logger.info("stopping")
            remove_record(cloud)
            server.should_exit = True
            await asyncio.wait([serving])
            raise _Stopping  # ends every task of the group; the plane ends the processes after this
    except* _Stopping:
        _logger.info("no work is left")


async def _started(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    deadline = time.monotonic() + 5
    while not server.started:
        if serving.done() or time.monotonic() > deadline:
            raise DaemonRefused("the HTTP server did not start; see the log")
        await asyncio.sleep(0.005)  # uvicorn has no event for it
