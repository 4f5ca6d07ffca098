"""All HTTP surfaces of the daemon in one Starlette application. No state of its own: it may be built per test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from infra.localcloud import database_endpoints, domain_endpoints, fault_endpoints, link_settings, local_endpoints, time_endpoints
from infra.localcloud.conducting.store import StoreError
from infra.localcloud.link_settings import Links
from infra.localcloud.page import serving
from infra.localcloud.page.own_host import OwnHost
from infra.localcloud.page.sessions import Sessions
from infra.localcloud.page.state import deployment_views, traffic_views
from infra.localcloud.plane.interface import PlaneError
from infra.localcloud.railway_api.call import Call, Cloud
from infra.localcloud.railway_api.endpoint import answer
from infra.localcloud.railway_api.executable import executable_schema
from infra.localcloud.railway_api.faults import Faults
from infra.localcloud.railway_api.principal import Principal, identify, is_valid
from infra.localcloud.railway_api.upload import up
from infra.localcloud.railway_api.websocket import Connections
from infra.localcloud.status_view import status_view
from infra.localcloud.supabase_management import api as management
from infra.localcloud.world.errors import WorldError


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the application needs beside the cloud itself. `daemon` is shown by /_local/status."""

    token: str
    directory: Path
    base_url: str
    links: Links
    faults: Faults
    on_shutdown: Callable[[], None]
    daemon: dict[str, Any]
    page_url: str
    sessions: Sessions


def build_app(cloud: Cloud, around: Surroundings) -> Starlette:
    executable_schema()  # now rather than during the first request

    def who(request: Request) -> Principal | None:
        return identify(request.headers, around.token, cloud.keeper.world)

    async def graphql(request: Request) -> Response:
        return await answer(request, cloud, who(request), around.faults)

    connections = Connections()

    async def subscriptions(websocket: WebSocket) -> None:
        await connections.serve(websocket, cloud, identify(websocket.headers, around.token, cloud.keeper.world))

    async def upload(request: Request) -> Response:
        principal = who(request)
        if principal is None:
            return JSONResponse({"message": "Not Authorized"}, 401)
        return await up(request, Call(cloud, principal), around.directory, around.base_url)

    def with_account(handler: management.Handler) -> Callable[[Request], Awaitable[Response]]:
        """Not with a token of the account's workspace at Railway: it may neither end the cloud nor let anybody at its page."""

        async def guarded(request: Request) -> Response:
            principal = who(request)
            if principal is None or not principal.is_account or principal.workspace_id is not None:
                return JSONResponse({"message": "Unauthorized"}, 401)
            request.state.principal = principal
            return await management.handled(handler, request, cloud)

        return guarded

    def with_page(handler: management.Handler) -> Callable[[Request], Awaitable[Response]]:
        """For what the page shows and switches: its session will do as well as the token that it came from, and as long."""
        with_token = with_account(handler)

        async def guarded(request: Request) -> Response:
            session = request.headers.get("authorization", "").removeprefix("Bearer ")
            owner = around.sessions.owner(session)
            if owner is not None and is_valid(owner, cloud.keeper.world):
                return await management.handled(handler, request, cloud)
            return await with_token(request)

        return guarded

    async def status(request: Request, found: Cloud) -> Response:
        return JSONResponse(status_view(found, around.links.view(), around.daemon))

    async def state(request: Request, found: Cloud) -> Response:
        shown = status_view(found, around.links.view(), around.daemon)
        traffic = await asyncio.to_thread(traffic_views, found)  # reads files
        more = {"deployments": deployment_views(found.keeper.world), "traffic": traffic}
        return JSONResponse({**shown, **more, "faults": fault_endpoints.view(around.faults)}, headers=serving.HEADERS)

    async def links(request: Request, found: Cloud) -> Response:
        return await link_settings.set_links(request, found, around.links)

    async def faults(request: Request, found: Cloud) -> Response:
        if request.method == "POST":
            return await fault_endpoints.set_faults(request, found, around.faults)
        if request.method == "DELETE":
            return await fault_endpoints.end_faults(found, around.faults, around.links)
        return JSONResponse(fault_endpoints.view(around.faults))

    async def shutdown(request: Request, found: Cloud) -> Response:
        return local_endpoints.shutdown(around.on_shutdown)

    async def unexpected(request: Request, problem: Exception) -> Response:
        return JSONResponse({"message": str(problem)}, 503)

    routes = [
        Route("/graphql/v2", graphql, methods=["POST"]),
        WebSocketRoute("/graphql/v2", subscriptions),
        Route("/project/{project_id}/environment/{environment_id}/up", upload, methods=["POST"]),
        *management.routes(with_account),
        *serving.routes(with_page, with_account, around.sessions, around.page_url),
        Route("/_local/state", with_page(state), methods=["GET"]),
        Route("/_local/status", with_account(status), methods=["GET"]),
        Route("/_local/links", with_page(links), methods=["POST"]),
        Route("/_local/faults", with_page(faults), methods=["GET", "POST", "DELETE"]),
        Route("/_local/faults/processes", with_page(fault_endpoints.set_process_fault), methods=["POST"]),
        Route("/_local/overlap", with_page(fault_endpoints.set_overlap), methods=["POST"]),
        Route("/_local/faults/standbys", with_page(fault_endpoints.set_standby_fault), methods=["POST"]),
        Route("/_local/databases/promote", with_page(database_endpoints.promote), methods=["POST"]),
        Route("/_local/databases/backup", with_page(database_endpoints.back_up), methods=["POST"]),
        Route("/_local/databases/restore", with_account(database_endpoints.restore), methods=["POST"]),
        Route("/_local/databases/backups", with_page(database_endpoints.list_backups), methods=["GET"]),
        Route("/_local/domains", with_account(domain_endpoints.set_dns), methods=["POST"]),
        Route("/_local/time", with_page(time_endpoints.time), methods=["GET", "POST"]),
        Route("/_local/shutdown", with_account(shutdown), methods=["POST"]),
        Route("/_local/reset", with_account(local_endpoints.reset), methods=["POST"]),
    ]
    # Foreign and expected: a full disk, an address that is taken. Anything else is a 500 with its traceback in the log.
    handlers: dict[Any, Any] = dict.fromkeys((StoreError, PlaneError, WorldError), unexpected)
    return Starlette(routes=routes, exception_handlers=handlers, middleware=[Middleware(OwnHost)])
