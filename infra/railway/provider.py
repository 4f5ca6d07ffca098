"""The provider's declaration: settings, resources, and how to reach Railway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import httpx

from infra.provider.endpoints import is_loopback, require_private_way
from infra.provider.errors import ConfigurationError
from infra.provider.fields import Field
from infra.provider.native import WAIT_SECONDS, NativeProvider, by_type, patience
from infra.provider.rules import Choice, Text
from infra.provider.stopping import Stopper
from infra.provider.transport import Transport
from infra.railway.client import RailwayClient
from infra.railway.custom_domain import CustomDomain
from infra.railway.deployment import Deployment
from infra.railway.egress_gateway import EgressGateway
from infra.railway.environment import Environment
from infra.railway.private_network_endpoint import PrivateNetworkEndpoint
from infra.railway.project import Project
from infra.railway.project_token import ProjectToken
from infra.railway.reads import READS
from infra.railway.service import Service
from infra.railway.service_cdn import ServiceCdn
from infra.railway.service_domain import ServiceDomain
from infra.railway.shared_variables import SharedVariables
from infra.railway.subscriptions import Subscriptions
from infra.railway.tcp_proxy import TcpProxy
from infra.railway.tokens import headers_of
from infra.railway.variable import Variable
from infra.railway.variables import Variables
from infra.railway.volume import Volume
from infra.railway.volume_backup import VolumeBackup
from infra.railway.volume_restore import VolumeRestore

LOGS = Choice(("slow", "always", "failed"))
ENDPOINT = "https://backboard.railway.com/graphql/v2"


class RailwayProvider(NativeProvider[RailwayClient]):
    name: ClassVar[str] = "railway"
    version: ClassVar[str] = "0.1.0"
    settings: ClassVar = (
        Field("endpoint", Text(), about="GraphQL address; default RAILWAY_API_URL, else Railway's own"),
        Field("token", Text(), is_secret=True, about="account or workspace token; default RAILWAY_API_TOKEN"),
        Field("projectToken", Text(), is_secret=True, about="project token, in place of `token`; default RAILWAY_TOKEN"),
        Field("deploymentLogs", LOGS, about="when a deployment's log is shown; default RAILWAY_DEPLOYMENT_LOGS, else slow"),
        WAIT_SECONDS,
    )
    resources = by_type(
        Project(),
        ProjectToken(),
        Environment(),
        Service(),
        Variables(),
        Variable(),
        SharedVariables(),
        ServiceDomain(),
        CustomDomain(),
        TcpProxy(),
        EgressGateway(),
        PrivateNetworkEndpoint(),
        ServiceCdn(),
        Volume(),
        VolumeBackup(),
        VolumeRestore(),
        Deployment(),
    )
    functions: ClassVar = READS

    def connect(self, settings: Mapping[str, str], environment: Mapping[str, str], stopper: Stopper) -> RailwayClient:
        endpoint = settings.get("endpoint") or environment.get("RAILWAY_API_URL") or ENDPOINT
        token = headers_of(settings, environment)
        logs = settings.get("deploymentLogs") or environment.get("RAILWAY_DEPLOYMENT_LOGS") or "slow"
        for problem in LOGS.problems(logs):
            raise ConfigurationError(f"railway:deploymentLogs: expected {problem.expected}, got {problem.got}")
        require_private_way("railway:endpoint", endpoint)
        headers = {**token, "user-agent": f"cached-auth-railway-provider/{self.version}"}
        # A proxy has no way to this machine's loopback addresses.
        transport = Transport(
            headers,
            sleep=stopper.sleep,
            clock=stopper.clock,
            use_proxies=not is_loopback(httpx.URL(endpoint).host),
            **patience(self.name, settings),
        )
        return RailwayClient(transport, endpoint, Subscriptions(endpoint, headers), logs)

    async def disconnect(self, client: RailwayClient) -> None:
        await client.transport.close()
