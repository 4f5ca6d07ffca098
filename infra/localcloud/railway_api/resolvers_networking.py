# ruff: noqa: A002, N803 -- arguments have the names that the schema gives them
"""TCP proxies and custom domains."""

from __future__ import annotations

from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.railway_api import views
from infra.localcloud.railway_api.call import Call, Info
from infra.localcloud.railway_api.resolvers_account import Input, call_of
from infra.localcloud.world import lookup, networking
from infra.localcloud.world.errors import NotAuthorized, NotFound, WorldError
from infra.localcloud.world.model import CustomDomain, TcpProxy


def _proxy(call: Call, id: str) -> TcpProxy:
    """A stranger does not learn whether it exists."""
    found = call.world.tcp_proxies.get(id)
    if found is None and not call.principal.is_account:
        raise NotAuthorized
    found = found or networking.tcp_proxy(call.world, id)
    call.access.environment(found.environment_id)
    return found


def _domain(call: Call, id: str) -> CustomDomain:
    found = call.world.custom_domains.get(id)
    if found is None and not call.principal.is_account:
        raise NotAuthorized
    found = found or networking.custom_domain(call.world, id)
    call.access.environment(found.environment_id)
    return found


def tcp_proxies(_: None, info: Info, environmentId: str, serviceId: str) -> list[views.View]:
    call = call_of(info)
    call.access.instance(serviceId, environmentId)
    own = networking.tcp_proxies_of(call.world, serviceId, environmentId)
    departed = lookup.departed_of(call.world, "tcp_proxy", serviceId, environmentId)
    return [views.tcp_proxy_view(call, found) for found in (*own, *departed)]


async def tcp_proxy_create(_: None, info: Info, input: Input) -> views.View:
    call = call_of(info)
    call.access.instance(input["serviceId"], input["environmentId"])
    stamp = new_stamp()
    command = networking.CreateTcpProxy(stamp, input["serviceId"], input["environmentId"], input["applicationPort"])
    world = await call.apply(command)
    return views.tcp_proxy_view(call, world.tcp_proxies[stamp.id])


async def tcp_proxy_delete(_: None, info: Info, id: str) -> bool:
    call = call_of(info)
    await call.apply(networking.DeleteTcpProxy(new_stamp(), _proxy(call, id).id))
    return True


def custom_domain(_: None, info: Info, id: str, projectId: str) -> views.View:
    call = call_of(info)
    found = _domain(call, id)
    if found.project_id != projectId:
        raise NotFound("CustomDomain")
    return views.custom_domain_view(call, found)


def custom_domain_available(_: None, info: Info, domain: str) -> views.View:
    call = call_of(info)
    try:
        name = networking.checked_domain(domain)
    except WorldError as exc:
        return {"available": False, "message": str(exc)}
    is_taken = networking.is_taken(call.world, name)
    return {"available": not is_taken, "message": f"{name} is {'taken' if is_taken else 'available'}"}


async def custom_domain_create(_: None, info: Info, input: Input) -> views.View:
    call = call_of(info)
    call.access.instance(input["serviceId"], input["environmentId"])
    stamp = new_stamp()
    place = (input["projectId"], input["serviceId"], input["environmentId"])
    world = await call.apply(networking.CreateCustomDomain(stamp, *place, input["domain"], input.get("targetPort")))
    return views.custom_domain_view(call, world.custom_domains[stamp.id])


async def custom_domain_update(_: None, info: Info, environmentId: str, id: str, targetPort: int | None = None) -> bool:
    call = call_of(info)
    await call.apply(networking.UpdateCustomDomain(new_stamp(), _domain(call, id).id, environmentId, targetPort))
    return True


async def custom_domain_delete(_: None, info: Info, id: str) -> bool:
    call = call_of(info)
    await call.apply(networking.DeleteCustomDomain(new_stamp(), _domain(call, id).id))
    return True


QUERIES = {
    "customDomain": custom_domain,
    "customDomainAvailable": custom_domain_available,
    "tcpProxies": tcp_proxies,
}
MUTATIONS = {
    "customDomainCreate": custom_domain_create,
    "customDomainDelete": custom_domain_delete,
    "customDomainUpdate": custom_domain_update,
    "tcpProxyCreate": tcp_proxy_create,
    "tcpProxyDelete": tcp_proxy_delete,
}
