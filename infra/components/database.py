"""Supabase: the primary database with its Auth API, and a read replica near each other cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import pulumi

from infra.rules import Secret
from infra.supabase import resources as supabase

PORT = 5432


@dataclass(frozen=True, slots=True)
class DatabaseArguments:
    """`replica_regions`: region of the cell -> Supabase region of its read replica. `tls`: libpq's sslmode.

    `is_protected`: the engine refuses to delete or replace the project, and with it the users, before it is unprotected.
    """

    title: str
    organization_id: str
    region: str
    instance_size: str
    password: Secret
    replica_regions: Mapping[str, str]
    tls: str
    is_protected: bool


class Database(pulumi.ComponentResource):
    """`url` is the primary's, `replica_urls` has one entry for each region of `replica_regions`; all are secret."""

    def __init__(self, name: str, arguments: DatabaseArguments, opts: pulumi.ResourceOptions | None = None):
        super().__init__("cached-auth:index:Database", name, {}, opts)
        inside = pulumi.ResourceOptions(parent=self)
        self.project = supabase.Project(
            name,
            name=arguments.title,
            organization_id=arguments.organization_id,
            region=arguments.region,
            db_password=pulumi.Output.secret(arguments.password.text),
            instance_size=arguments.instance_size or None,
            opts=pulumi.ResourceOptions(parent=self, protect=arguments.is_protected),
        )
        # The service tells Auth whose request it passes on; without this all log-ins of a replica count as one client's.
        self.auth = supabase.AuthConfiguration(
            f"{name}-auth", project_ref=self.project.ref, security_sb_forwarded_for_enabled=True, opts=inside
        )
        replicas = {
            region: supabase.ReadReplica(f"{name}-{region}", project_ref=self.project.ref, region=place, opts=inside)
            for region, place in arguments.replica_regions.items()
        }
        self.url = connection_url(self.project.session_host, self.project.session_user, arguments)
        self.replica_urls = {
            region: connection_url(replica.host, replica.user, arguments) for region, replica in replicas.items()
        }
        self.register_outputs({"supabase_url": self.project.url, "replica_regions": dict(arguments.replica_regions)})


def connection_url(host: pulumi.Output[str], user: pulumi.Output[str], arguments: DatabaseArguments) -> pulumi.Output[str]:
    """A session of its own for each connection: the service listens for notifications on it."""
    password = pulumi.Output.secret(quote(arguments.password.text, safe=""))
    return pulumi.Output.format("postgresql://{0}:{1}@{2}:{3}/postgres?sslmode={4}", user, password, host, PORT, arguments.tls)
