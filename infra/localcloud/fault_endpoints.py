"""/_local/faults...: switching faults on and off. All of it needs the account's token."""

from __future__ import annotations

import signal
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.localcloud.conducting.overlap import OverlapRecord
from infra.localcloud.link_settings import Links
from infra.localcloud.local_requests import asked
from infra.localcloud.plane.interface import PlaneError
from infra.localcloud.process_names import key_of, process_names
from infra.localcloud.railway_api.call import Cloud
from infra.localcloud.railway_api.faults import Faults, FaultSettings
from infra.localcloud.world.errors import BadInput, NotFound
from infra.localcloud.world.supabase import standby_key

REPLAY_DELAY_MS_MAX = 3_600_000
Action = Literal["kill", "pause", "resume", "down", "up"]
SIGNALS: dict[Action, signal.Signals] = {
    "kill": signal.SIGKILL,
    "down": signal.SIGKILL,
    "pause": signal.SIGSTOP,
    "resume": signal.SIGCONT,
}


class ProcessFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`key` is a name as `status` shows it, or enough of its words (process_names.py)."""

    key: str
    action: Action


class StandbyFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    identifier: str
    replay_delay_ms: int

    def __post_init__(self) -> None:
        if not 0 <= self.replay_delay_ms <= REPLAY_DELAY_MS_MAX:
            raise ValueError(f"replay_delay_ms: expected 0 to {REPLAY_DELAY_MS_MAX}")


def view(faults: Faults) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(faults.settings)
    return shown


async def set_faults(request: Request, cloud: Cloud, faults: Faults) -> Response:
    """What is left out is off."""
    _set(cloud, faults, await asked(request, FaultSettings, "faults"))
    return JSONResponse(view(faults))


def _set(cloud: Cloud, faults: Faults, settings: FaultSettings) -> None:
    faults.set(settings)
    cloud.conductor.deletions.linger_s = settings.deletions.linger_s


async def end_faults(cloud: Cloud, faults: Faults, links: Links) -> Response:
    """The one switch: API, links, paused processes and delayed standbys are as if nothing had been."""
    _set(cloud, faults, FaultSettings())
    await links.heal(cloud.plane)
    for key in list(cloud.conductor.databases.held):
        cloud.conductor.release(key)
    for process in cloud.plane.status():
        if process.is_running:
            cloud.plane.send_signal(process.key, signal.SIGCONT)  # to a process that runs it means nothing
    for project in cloud.keeper.world.supabase.values():
        for replica in project.replicas:
            if replica.is_ready:
                await cloud.plane.set_replay_delay(standby_key(replica), 0)
    return JSONResponse(view(faults))


async def set_process_fault(request: Request, cloud: Cloud) -> Response:
    wanted = await asked(request, ProcessFault, "faults")
    names = process_names(cloud.keeper.world)
    key = key_of(names, wanted.key)
    if wanted.action in ("down", "up"):
        await _hold(cloud, key, is_held=wanted.action == "down")
    if wanted.action != "up":
        if not any(found.key == key and found.is_running for found in cloud.plane.status()):
            raise NotFound(f"Running process {names[key]}")
        cloud.plane.send_signal(key, SIGNALS[wanted.action])
    return JSONResponse({"key": key, "name": names[key], "action": wanted.action})


async def _hold(cloud: Cloud, key: str, *, is_held: bool) -> None:
    """A database that stays down until it is called up: a replica that is killed always comes back by its own policy."""
    if cloud.conductor.databases.scope_of(key) is None:
        raise BadInput("down, up: expected a database or its gateway; replicas and caches can be killed, paused or removed")
    cloud.conductor.hold(key) if is_held else cloud.conductor.release(key)


async def set_overlap(request: Request, cloud: Cloud) -> Response:
    """Platform behaviour rather than a fault: ending all faults leaves it, and so does a restart."""
    wanted = await asked(request, OverlapRecord, "faults")
    cloud.conductor.router.overlap.set(wanted.requests_meet)
    cloud.conductor.router.touch()
    return JSONResponse(msgspec.to_builtins(wanted))


async def set_standby_fault(request: Request, cloud: Cloud) -> Response:
    """Takes effect at once and stays until it is set to 0, also over a restart."""
    wanted = await asked(request, StandbyFault, "faults")
    key = key_of(process_names(cloud.keeper.world), wanted.identifier)
    replicas = [found for project in cloud.keeper.world.supabase.values() for found in project.replicas]
    replica = next((found for found in replicas if standby_key(found) == key), None)
    if replica is None:
        raise NotFound(f"Standby {wanted.identifier[:80]!r}")
    if not replica.is_ready:
        raise PlaneError(f"{replica.identifier} is not ready yet: wait for it and ask again")
    await cloud.plane.set_replay_delay(standby_key(replica), wanted.replay_delay_ms)
    return JSONResponse(msgspec.to_builtins(wanted))
