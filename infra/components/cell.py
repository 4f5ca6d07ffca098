"""A cell: one serving unit of the stack as one Railway service. In topology `shared` one cell spans all regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi

from infra.components.place import Place
from infra.desired_state import railwaytoml
from infra.desired_state.rendering import render_railway_toml
from infra.railway import resources as railway

PORT = 8080
START = "python -m service"
MIGRATE = "python -m service migrate"
HEALTH = "/health/ready"
BUILD_TIMEOUT_S = 900  # Railway's builders, cold; the local cloud needs seconds


@dataclass(frozen=True, slots=True)
class Serving:
    """How a cell serves, whatever release it serves: all that its railway.toml says. Seconds."""

    replicas: Mapping[str, int]
    environment: str
    is_bundle: bool
    healthcheck_timeout_s: int
    restart_policy_type: railwaytoml.RestartPolicyType
    restart_policy_retries_max: int
    overlap_s: int
    draining_s: int


@dataclass(frozen=True, slots=True)
class CellArguments:
    """`variables` are the service's, `release` its digest; `bundle` or `image` is what runs. `others` are further triggers:
    what the variables refer to without containing it, such as a password in another service."""

    serving: Serving
    release: str
    bundle: Path | None
    image: pulumi.Input[str] | None
    variables: Mapping[str, pulumi.Input[str]]
    others: Mapping[str, pulumi.Input[str]]


def desired_state(serving: Serving) -> railwaytoml.RailwayFile:
    """What the cell's railway.toml says."""
    deploy = railwaytoml.Deploy(
        start_command=START,
        pre_deploy_command=(MIGRATE,),
        multi_region_config={
            region: railwaytoml.RegionReplicas(num_replicas=replicas) for region, replicas in serving.replicas.items()
        },
        healthcheck_path=HEALTH,
        healthcheck_timeout=serving.healthcheck_timeout_s,
        restart_policy_type=serving.restart_policy_type,
        restart_policy_max_retries=serving.restart_policy_retries_max,
        overlap_seconds=serving.overlap_s,
        draining_seconds=serving.draining_s,
    )
    build = railwaytoml.Build(builder="DOCKERFILE", dockerfile_path="service/Dockerfile") if serving.is_bundle else None
    return railwaytoml.RailwayFile(build=build, deploy=deploy)


class Cell(pulumi.ComponentResource):
    """The service with its variables, its domain, and the deployment of its release."""

    def __init__(
        self,
        name: str,
        place: Place,
        arguments: CellArguments,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ):
        super().__init__("cached-auth:index:Cell", name, {}, opts)
        inside = pulumi.ResourceOptions(parent=self)
        serving = arguments.serving
        file = desired_state(serving)
        applied = railwaytoml.applied(file, serving.environment)
        service = railway.Service(
            name,
            project_id=place.project_id,
            environment_id=place.environment_id,
            name=name,
            image=arguments.image,
            variables={**arguments.variables, **applied.variables},
            railway_toml=render_railway_toml(file, name),
            opts=inside,
            **applied.arguments,
        )
        domain = railway.ServiceDomain(
            name,
            project_id=place.project_id,
            environment_id=place.environment_id,
            service_id=service.id,
            target_port=PORT,
            opts=inside,
        )
        deployment = railway.Deployment(
            name,
            project_id=place.project_id,
            environment_id=place.environment_id,
            service_id=service.id,
            bundle=str(arguments.bundle) if arguments.bundle else None,
            release=arguments.release,
            triggers={
                "variables": service.variables_digest,
                "settings": railwaytoml.redeploy_fingerprint(file, serving.environment),
                **arguments.others,
            },
            timeout_s=serving.healthcheck_timeout_s + BUILD_TIMEOUT_S,
            # The domain first: a replica is told its public address when it is deployed.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[service, domain, *after]),
        )
        self.url = domain.url
        self.facts = {
            "url": domain.url,
            "service_id": service.id,
            "environment_id": place.environment_id,
            "deployment_id": deployment.deployment_id,
            "release": arguments.release,
        }
        self.register_outputs(self.facts)
