# ruff: noqa: A002, N803 -- arguments have the names that the schema gives them
"""Limits of a service instance, and what a service is connected to."""

from __future__ import annotations

import os

from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.railway_api import views
from infra.localcloud.railway_api.call import Info
from infra.localcloud.railway_api.config_views import limits_view
from infra.localcloud.railway_api.resolvers_account import Input, call_of
from infra.localcloud.world.service_settings import ConnectSource, SetLimits

GIGABYTE = 1_000_000_000
"""Railway's GB are decimal: its plans' 32 GB show as memoryBytes 32000000000."""


def service_instance_limit_override(_: None, info: Info, serviceId: str, environmentId: str) -> views.View | None:
    call = call_of(info)
    return limits_view(call.access.instance(serviceId, environmentId).settings)


def service_instance_limits(_: None, info: Info, serviceId: str, environmentId: str) -> views.View:
    """What is not limited has this machine's processors and memory, the only plan there is here."""
    call = call_of(info)
    override = limits_view(call.access.instance(serviceId, environmentId).settings)
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    plan = {"cpu": os.cpu_count() or 1, "memoryBytes": memory_bytes}
    return {"containers": {**plan, **(override["containers"] if override else {})}}


async def service_instance_limits_update(_: None, info: Info, input: Input) -> bool:
    call = call_of(info)
    call.access.instance(input["serviceId"], input["environmentId"])
    memory_gb = input.get("memoryGB")
    memory_bytes = None if memory_gb is None else round(memory_gb * GIGABYTE)
    await call.apply(SetLimits(new_stamp(), input["serviceId"], input["environmentId"], input.get("vCPUs"), memory_bytes))
    return True


async def service_connect(_: None, info: Info, id: str, input: Input) -> views.View:
    call = call_of(info)
    call.access.service(id)
    call.access.require_account()  # it holds in every environment; a project token has one of them
    command = ConnectSource(new_stamp(), id, input.get("image"), input.get("repo"), input.get("branch"))
    world = await call.apply(command)
    return views.service_view(call, world.services[id])


async def service_disconnect(_: None, info: Info, id: str) -> views.View:
    call = call_of(info)
    call.access.service(id)
    call.access.require_account()
    world = await call.apply(ConnectSource(new_stamp(), id))
    return views.service_view(call, world.services[id])


QUERIES = {
    "serviceInstanceLimitOverride": service_instance_limit_override,
    "serviceInstanceLimits": service_instance_limits,
}
MUTATIONS = {
    "serviceConnect": service_connect,
    "serviceDisconnect": service_disconnect,
    "serviceInstanceLimitsUpdate": service_instance_limits_update,
}
