"""A Valkey server of one region: the second cache tier and the bus for revocations. It holds nothing that cannot be lost."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from infra.components.place import Place
from infra.railway import resources as railway
from infra.rules import Secret

PORT = 6379
MEMORY = "64mb"  # 5,000 entries of about 2 kB for each replica, and room for the stream
SERVER = f'valkey-server --requirepass $REDIS_PASSWORD --save "" --maxmemory {MEMORY} --maxmemory-policy allkeys-lru'
DEPLOY_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class CacheArguments:
    """`has_shell`: the platform starts an image's command as it stands, so that a shell has to fill in the variable."""

    region: str
    image: str
    password: Secret
    has_shell: bool

    @property
    def start_command(self) -> str:
        return f"/bin/sh -c 'exec {SERVER}'" if self.has_shell else SERVER


class Cache(pulumi.ComponentResource):
    """`url` refers to the service's own variables: Railway fills them in at deploy time, so no password stands in the cells."""

    def __init__(self, name: str, place: Place, arguments: CacheArguments, opts: pulumi.ResourceOptions | None = None):
        super().__init__("cached-auth:index:Cache", name, {}, opts)
        inside = pulumi.ResourceOptions(parent=self)
        service = railway.Service(
            name,
            project_id=place.project_id,
            environment_id=place.environment_id,
            name=name,
            image=arguments.image,
            start_command=arguments.start_command,
            multi_region_config={arguments.region: 1},
            restart_policy_type="ALWAYS",
            variables={"PORT": str(PORT), "REDIS_PASSWORD": pulumi.Output.secret(arguments.password.text)},
            opts=inside,
        )
        self.fingerprint = service.variables_digest
        self.deployment = railway.Deployment(
            name,
            project_id=place.project_id,
            environment_id=place.environment_id,
            service_id=service.id,
            triggers={"image": arguments.image, "start_command": arguments.start_command, "variables": service.variables_digest},
            timeout_s=DEPLOY_TIMEOUT_S,
            opts=inside,
        )
        self.url = f"redis://default:${{{{{name}.REDIS_PASSWORD}}}}@${{{{{name}.RAILWAY_PRIVATE_DOMAIN}}}}:{PORT}/0"
        self.register_outputs({"service_id": service.id, "url": self.url})
