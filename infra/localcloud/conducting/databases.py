"""Supabase projects as processes: a primary, an API gateway on the same address, standbys in other regions."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from infra.localcloud.conducting.keeper import Keeper
from infra.localcloud.plane.interface import DatabaseSpec, Plane, PlaneError
from infra.localcloud.supabase_api.auth_config import AuthConfig
from infra.localcloud.world import lookup
from infra.localcloud.world.auth_config import auth_config
from infra.localcloud.world.errors import WorldError
from infra.localcloud.world.model import ReadReplica, SupabaseProject
from infra.localcloud.world.restarts import backoff_s
from infra.localcloud.world.supabase import ReadReplicaReady, SetSupabaseStatus, api_key, primary_key, standby_key
from infra.localcloud.world_clock import CLOCK_FILE

ATTEMPTS_MAX = 5
BCRYPT_COST = "10"
BCRYPT_BYTES_MAX = 72  # bcrypt looks at no more
TEN_YEARS_H = 87_600
WEEK_S = 604_800
MAIL_REGION, MAIL_OWNER, MAIL_PORT = "us-west2", "mail", 2525  # the sink of daemon.py
_logger = logging.getLogger("localcloud")


def local_region(supabase_region: str) -> str | None:
    """The local cloud's region for an AWS region name; None for one that has no counterpart."""
    for prefix, region in (
        ("us-west-", "us-west2"),
        ("us-east-", "us-east4-eqdc4a"),
        ("eu-", "europe-west4-drams3a"),
        ("ap-", "asia-southeast1-eqsg3a"),
    ):
        if supabase_region.startswith(prefix):
            return region
    return None


def auth_environment(set_by_user: Mapping[str, Any], mail_address: str) -> dict[str, str]:
    """What of the auth configuration the stand-in goes by. Mails go to this cloud's own sink unless the project has a server.

    Limits hold where somebody has set them: the defaults that the API shows would surprise who has one address for everybody.
    """
    config = auth_config(set_by_user)
    followed = {name: config[name] for name in AuthConfig.__struct_fields__}
    followed |= {name: set_by_user.get(name) for name in followed if name.startswith("rate_limit_")}
    followed["password_min_length"] = min(followed["password_min_length"], BCRYPT_BYTES_MAX)
    for name in ("security_refresh_token_reuse_interval", "mailer_otp_exp", "smtp_max_frequency"):
        followed[name] = min(followed[name], WEEK_S)
    for name in ("sessions_timebox", "sessions_inactivity_timeout"):
        followed[name] = min(followed[name], TEN_YEARS_H)
    followed["hook_custom_access_token_uri"] = followed["hook_custom_access_token_uri"] or ""
    return {
        "AUTH_CONFIG": msgspec.json.encode(followed).decode(),
        "SMTP_HOST": config["smtp_host"] or mail_address,
        "SMTP_PORT": str((config["smtp_port"] or 25) if config["smtp_host"] else MAIL_PORT),
    }


def database_url(project: SupabaseProject, address: str) -> str:
    return f"postgresql://postgres:{quote(project.database_password, safe='')}@{address}:5432/postgres"


class Databases:
    def __init__(self, keeper: Keeper, plane: Plane, cloud: Path) -> None:
        self._keeper, self._plane, self._cloud = keeper, plane, cloud
        self._gateways: dict[str, dict[str, str]] = {}  # as they were started
        self.held: set[str] = set()  # keys of what somebody took down and wants to stay down

    async def bring_up(self, ref: str) -> None:
        """COMING_UP -> ACTIVE_HEALTHY, or INIT_FAILED after the last attempt. Also mends one that runs already."""
        await self._try(ref, self._ensure, "INIT_FAILED")

    async def change_password(self, ref: str) -> None:
        """RESTARTING -> ACTIVE_HEALTHY, or ACTIVE_UNHEALTHY after the last attempt."""
        await self._try(ref, self._renew, "ACTIVE_UNHEALTHY")

    async def reconfigure(self, ref: str) -> None:
        """The gateway reads its settings at its start only; it is left alone where it would read the same again."""
        project = self._keeper.world.supabase.get(ref)
        if project is None or project.status != "ACTIVE_HEALTHY":
            return  # whatever brings it up reads the configuration of then
        if self._gateways.get(ref) != self.gateway_environment(project):
            await self._try(ref, self._restart_gateway, "ACTIVE_UNHEALTHY")

    async def _restart_gateway(self, project: SupabaseProject) -> None:
        await self._plane.stop(api_key(project.ref))
        await self._ensure_gateway(project)

    async def _ensure_gateway(self, project: SupabaseProject) -> None:
        environment = self.gateway_environment(project)
        await self._plane.ensure_supabase_api(api_key(project.ref), project.address, environment)
        self._gateways[project.ref] = environment

    async def _try(self, ref: str, act: Callable[[SupabaseProject], Awaitable[None]], failed_status: str) -> None:
        for attempt in range(ATTEMPTS_MAX):
            project = self._keeper.world.supabase.get(ref)
            if project is None or primary_key(ref) in self.held:
                return
            try:
                await act(project)
            except PlaneError as exc:
                _logger.warning("supabase project %s, attempt %d: %s", ref, attempt + 1, exc)
                await self._keeper.clock.sleep(backoff_s(attempt))
                continue
            await self.set_status(ref, "ACTIVE_HEALTHY")
            return
        await self.set_status(ref, failed_status)

    async def went_down(self, key: str) -> None:
        """A process that is held has ended. The project says so where its primary or its gateway has."""
        found = self.scope_of(key)
        if found is not None and found[2] is None:
            await self.set_status(found[1], "ACTIVE_UNHEALTHY")

    async def set_status(self, ref: str, status: str) -> None:
        try:
            await self._keeper.apply(SetSupabaseStatus(ref, status))
        except WorldError:
            _logger.info("supabase project %s was deleted while it came up", ref)

    async def _ensure(self, project: SupabaseProject) -> None:
        await self._ensure_primary(project)
        await self._ensure_gateway(project)

    async def _renew(self, project: SupabaseProject) -> None:
        """The role's password first; standbys get it with the log they stream. The gateway reads its own only at its start."""
        await self._ensure_primary(project)
        await self._restart_gateway(project)

    async def _ensure_primary(self, project: SupabaseProject) -> None:
        region = local_region(project.region)
        assert region is not None, "checked when the project was created"
        await self._plane.ensure_database(
            DatabaseSpec(key=primary_key(project.ref), region=region, address=project.address, password=project.database_password)
        )

    def gateway_environment(self, project: SupabaseProject) -> dict[str, str]:
        directory = self._cloud / "supabase" / project.ref
        (directory / "storage").mkdir(parents=True, exist_ok=True, mode=0o700)
        return {
            "HOST": project.address,
            "PORT": "8000",
            "DATABASE_URL": database_url(project, project.address),
            "JWT_SECRET": project.jwt_secret,
            "SIGNING_KEY_FILE": str(directory / "signing-key.json"),
            "ANON_KEY": project.anon_key,
            "SERVICE_ROLE_KEY": project.service_role_key,
            "EXTERNAL_URL": f"http://{project.address}:8000",
            "STORAGE_DIR": str(directory / "storage"),
            "BCRYPT_COST": BCRYPT_COST,
            "CLOCK_FILE": str(self._cloud / CLOCK_FILE),
            **auth_environment(project.auth_config, self._plane.allocate(MAIL_REGION, MAIL_OWNER)),
        }

    async def bring_up_replica(self, ref: str, identifier: str) -> None:
        for attempt in range(ATTEMPTS_MAX):
            project = self._keeper.world.supabase.get(ref)
            replica = self._replica(project, identifier)
            if project is None or replica is None or standby_key(replica) in self.held:
                return
            try:
                await self._plane.ensure_database(self._standby(project, replica))
                await self._keeper.apply(ReadReplicaReady(ref, identifier))
            except PlaneError as exc:
                _logger.warning("read replica %s, attempt %d: %s", identifier, attempt + 1, exc)
                await self._keeper.clock.sleep(backoff_s(attempt))
                continue
            except WorldError:
                return
            return

    def _replica(self, project: SupabaseProject | None, identifier: str) -> ReadReplica | None:
        return next((found for found in project.replicas if found.identifier == identifier), None) if project else None

    def _standby(self, project: SupabaseProject, replica: ReadReplica) -> DatabaseSpec:
        region = local_region(replica.region)
        assert region is not None, "checked when the replica was created"
        return DatabaseSpec(
            key=standby_key(replica),
            region=region,
            address=replica.address,
            password=project.database_password,
            primary_key=primary_key(project.ref),
        )

    def scope_of(self, key: str) -> tuple[str, str, str | None] | None:
        """(scope, ref, identifier) of the project that a process belongs to; None when it is not ours."""
        for project in self._keeper.world.supabase.values():
            if key in (primary_key(project.ref), api_key(project.ref)):
                return f"supabase:{project.ref}", project.ref, None
            for replica in project.replicas:
                if key == standby_key(replica):
                    return f"supabase:{replica.identifier}", project.ref, replica.identifier
        return None

    def project(self, ref: str) -> SupabaseProject:
        return lookup.supabase_project(self._keeper.world, ref)
