"""The provider's declaration: settings, resources, and how to reach Supabase."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import httpx

from infra.provider.endpoints import is_loopback, require_private_way
from infra.provider.errors import ConfigurationError
from infra.provider.fields import Field
from infra.provider.native import WAIT_SECONDS, NativeProvider, by_type, patience
from infra.provider.rules import Text
from infra.provider.stopping import Stopper
from infra.provider.transport import Transport
from infra.supabase.auth_configuration import AuthConfiguration
from infra.supabase.client import SupabaseClient
from infra.supabase.project import Project
from infra.supabase.read_replica import ReadReplica
from infra.supabase.reads import READS

ENDPOINT = "https://api.supabase.com"
PROJECT_URL = "https://{ref}.supabase.co"


class SupabaseProvider(NativeProvider[SupabaseClient]):
    name: ClassVar[str] = "supabase"
    version: ClassVar[str] = "0.1.0"
    settings: ClassVar = (
        Field("endpoint", Text(), about="Management API; default SUPABASE_API_URL, else Supabase's own"),
        Field("accessToken", Text(), is_secret=True, about="default SUPABASE_ACCESS_TOKEN"),
        Field("projectUrl", Text(), about="template of a project's address; default SUPABASE_PROJECT_URL_TEMPLATE"),
        WAIT_SECONDS,
    )
    resources = by_type(Project(), ReadReplica(), AuthConfiguration())
    functions: ClassVar = READS

    def connect(self, settings: Mapping[str, str], environment: Mapping[str, str], stopper: Stopper) -> SupabaseClient:
        endpoint = settings.get("endpoint") or environment.get("SUPABASE_API_URL") or ENDPOINT
        token = settings.get("accessToken") or environment.get("SUPABASE_ACCESS_TOKEN") or ""
        template = settings.get("projectUrl") or environment.get("SUPABASE_PROJECT_URL_TEMPLATE") or PROJECT_URL
        if not token:
            raise ConfigurationError(
                "supabase:accessToken: expected an access token, got nothing; "
                "set SUPABASE_ACCESS_TOKEN or run `pulumi config set --secret supabase:accessToken`"
            )
        require_private_way("supabase:endpoint", endpoint)
        try:
            template.format(ref="ref", database_host="host")
        except (KeyError, IndexError, ValueError):
            raise ConfigurationError(
                'supabase:projectUrl: expected a template with {ref} or {database_host} only, such as "https://{ref}.supabase.co"'
            ) from None
        headers = {"authorization": f"Bearer {token}", "user-agent": f"cached-auth-supabase-provider/{self.version}"}
        # A proxy has no way to this machine's loopback addresses.
        transport = Transport(
            headers,
            sleep=stopper.sleep,
            clock=stopper.clock,
            use_proxies=not is_loopback(httpx.URL(endpoint).host),
            **patience(self.name, settings),
        )
        return SupabaseClient(transport, endpoint.rstrip("/"), template)

    async def disconnect(self, client: SupabaseClient) -> None:
        await client.transport.close()
