"""A small Supabase Management API in memory: the paths our provider uses, and faults on demand."""

from __future__ import annotations

import itertools
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Json = dict[str, Any]
TOKEN = "sbp_fake-access-token-0123456789"


class FakeSupabase:
    """Projects get healthy, and replicas appear, after a few looks."""

    def __init__(self) -> None:
        self.projects: dict[str, Json] = {}
        self.passwords: dict[str, str] = {}
        self.replicas: dict[str, list[Json]] = {}
        self.auth: dict[str, Json] = {}
        self.faults: dict[str, list[str]] = {}
        self.calls: list[str] = []
        self.statuses = ["COMING_UP", "COMING_UP", "ACTIVE_HEALTHY"]
        self._ids = itertools.count(1)
        each = "/v1/projects/{ref}"
        self.app = Starlette(
            routes=[
                Route("/v1/projects", self._list, methods=["GET"]),
                Route("/v1/projects", self._create, methods=["POST"]),
                Route(each, self._project, methods=["GET", "PATCH", "DELETE"]),
                Route(each + "/database/password", self._password, methods=["PATCH"]),
                Route(each + "/api-keys", self._keys, methods=["GET"]),
                Route(each + "/read-replicas/setup", self._set_up, methods=["POST"]),
                Route(each + "/read-replicas/remove", self._remove, methods=["POST"]),
                Route(each + "/config/database/pooler", self._pooler, methods=["GET"]),
                Route(each + "/config/auth", self._auth, methods=["GET", "PATCH"]),
            ]
        )

    def _refused(self, request: Request) -> Response | None:
        self.calls.append(f"{request.method} {request.url.path.rsplit('/', 1)[-1]}")
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return JSONResponse({"message": "Unauthorized"}, 401)
        ref = request.path_params.get("ref")
        if ref is not None and ref not in self.projects:
            return JSONResponse({"message": "Project not found"}, 404)
        return None

    def _lost(self, key: str) -> Response | None:
        waiting = self.faults.get(key)
        return Response("bad gateway", 502) if waiting and waiting.pop(0) == "lost" else None

    async def _list(self, request: Request) -> Response:
        return self._refused(request) or JSONResponse(list(self.projects.values()))

    async def _create(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        body = await request.json()
        ref = f"ref{next(self._ids):017d}"
        self.projects[ref] = {
            "id": ref,
            "ref": ref,
            "organization_id": body["organization_id"],
            "name": body["name"],
            "region": body["region"],
            "created_at": "2026-01-01T00:00:00Z",
            "status": "COMING_UP",
            "to_come": list(self.statuses),
            "database": {"host": f"db.{ref}.supabase.co", "version": "17.6.1"},
        }
        self.passwords[ref] = body["db_pass"]
        self.replicas[ref] = []
        return self._lost("create") or JSONResponse(self.projects[ref], 201)

    async def _project(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        ref = request.path_params["ref"]
        project = self.projects[ref]
        if request.method == "DELETE":
            del self.projects[ref]
        elif request.method == "PATCH":
            project["name"] = (await request.json())["name"]
        elif project["to_come"]:
            project["status"] = project["to_come"].pop(0)
        return self._lost(request.method) or JSONResponse(project)

    async def _password(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        self.passwords[request.path_params["ref"]] = (await request.json())["password"]
        return self._lost("password") or JSONResponse({"message": "ok"})

    async def _keys(self, request: Request) -> Response:
        ref = request.path_params["ref"]
        names = ("anon", "service_role")
        keys = [{"name": name, "api_key": f"{name}-key-of-{ref}"} for name in names]
        return self._refused(request) or JSONResponse(keys)

    async def _set_up(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        ref, region = request.path_params["ref"], (await request.json())["read_replica_region"]
        identifier = f"{ref}-rr-{region}-{next(self._ids):05d}"
        entry: Json = {"identifier": identifier, "database_type": "READ_REPLICA", "db_host": f"db.{identifier}.supabase.co"}
        entry["hidden"] = 4  # looks until it shows: setting one up takes minutes
        self.replicas[ref].append(entry)
        return self._lost("setup") or Response(status_code=201)

    async def _remove(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        ref, identifier = request.path_params["ref"], (await request.json())["database_identifier"]
        self.replicas[ref] = [each for each in self.replicas[ref] if each["identifier"] != identifier]
        return self._lost("remove") or Response(status_code=201)

    async def _auth(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        defaults: Json = {"jwt_exp": 3600, "site_url": "http://localhost:3000", "disable_signup": False, "uri_allow_list": ""}
        config = self.auth.setdefault(request.path_params["ref"], defaults)
        if request.method == "PATCH":
            config.update(await request.json())
        shown = {name: f"hash-of-{len(value)}" if name == "smtp_pass" and value else value for name, value in config.items()}
        return self._lost(f"auth {request.method}") or JSONResponse(shown)

    async def _pooler(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        ref = request.path_params["ref"]
        shown: list[Json] = [{"identifier": ref, "database_type": "PRIMARY", "db_host": f"db.{ref}.supabase.co"}]
        for entry in self.replicas[ref]:
            entry["hidden"] -= 1
            if entry["hidden"] <= 0:
                shown.append(entry)
        return JSONResponse(shown)
