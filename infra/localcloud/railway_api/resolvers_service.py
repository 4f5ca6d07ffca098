# ruff: noqa: A002, N803 -- arguments have the names that the schema gives them
"""Services, their instances' settings, variables, domains and volumes."""

from __future__ import annotations

from typing import Any

from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.railway_api import views
from infra.localcloud.railway_api.call import Call, Info
from infra.localcloud.railway_api.resolvers_account import Input, call_of, refuse_given
from infra.localcloud.world import lookup, owners, places, services, variables
from infra.localcloud.world.errors import BadInput, NotAuthorized, NotFound
from infra.localcloud.world.provided import rendered_variables

# The schema's names for our Settings fields; what is not in here is handled by itself.
SETTINGS = {
    "builder": "builder",
    "buildCommand": "build_command",
    "startCommand": "start_command",
    "preDeployCommand": "pre_deploy_command",
    "dockerfilePath": "dockerfile_path",
    "rootDirectory": "root_directory",
    "watchPatterns": "watch_patterns",
    "healthcheckPath": "healthcheck_path",
    "healthcheckTimeout": "healthcheck_timeout_s",
    "restartPolicyType": "restart_policy_type",
    "restartPolicyMaxRetries": "restart_policy_max_retries",
    "overlapSeconds": "overlap_s",
    "drainingSeconds": "draining_s",
    "railwayConfigFile": "railway_config_file",
    "ipv6EgressEnabled": "has_ipv6_egress",
    "cronSchedule": "cron_schedule",
    "sleepApplication": "can_sleep",
    "nixpacksPlan": "nixpacks_plan",
}


def service(_: None, info: Info, id: str) -> views.View:
    call = call_of(info)
    return views.service_view(call, call.access.shown_service(id))


def service_instance(_: None, info: Info, serviceId: str, environmentId: str) -> views.View:
    call = call_of(info)
    return views.instance_view(call, call.access.instance(serviceId, environmentId))


async def service_create(_: None, info: Info, input: Input) -> views.View:
    call = call_of(info)
    call.access.project(input["projectId"])
    if not call.principal.is_account and input.get("environmentId") != call.principal.environment_id:
        raise NotAuthorized
    refuse_given(input, "templateId", "templateServiceId")
    source = input.get("source") or {}
    stamp = new_stamp()
    world = await call.apply(
        services.CreateService(
            stamp=stamp,
            project_id=input["projectId"],
            environment_id=input.get("environmentId"),
            name=input.get("name"),
            icon=input.get("icon"),
            image=source.get("image"),
            repo=source.get("repo"),
            branch=input.get("branch"),
            registry_username=(input.get("registryCredentials") or {}).get("username"),
            variables=_variable_values(input.get("variables") or {}),
        )
    )
    return views.service_view(call, world.services[stamp.id])


async def service_update(_: None, info: Info, id: str, input: Input) -> views.View:
    call = call_of(info)
    call.access.service(id)
    call.access.require_account()  # the name is the project's, in every environment; a project token has one of them
    world = await call.apply(services.UpdateService(new_stamp(), id, input.get("name"), input.get("icon")))
    return views.service_view(call, world.services[id])


async def service_delete(_: None, info: Info, id: str, environmentId: str | None = None) -> bool:
    call = call_of(info)
    call.access.service(id)
    if environmentId is None:
        call.access.require_account()
    else:
        call.access.environment(environmentId)
    await call.apply(services.DeleteService(new_stamp(), id, environmentId))
    return True


async def service_instance_update(
    _: None,
    info: Info,
    serviceId: str,
    input: Input,
    environmentId: str | None = None,
) -> bool:
    call = call_of(info)
    if environmentId is None:
        environmentId = call.access.project(call.access.service(serviceId).project_id).base_environment_id  # noqa: N806
    call.access.instance(serviceId, environmentId)
    changes: dict[str, Any] = {ours: input[theirs] for theirs, ours in SETTINGS.items() if theirs in input}
    for name in ("pre_deploy_command", "watch_patterns"):
        if changes.get(name) is not None:
            changes[name] = tuple(changes[name])
    if "registryCredentials" in input:
        changes["registry_username"] = (input["registryCredentials"] or {}).get("username")
    if "source" in input:
        source = input["source"] or {}
        changes |= {"image": source.get("image"), "repo": source.get("repo")}
    regions = multi_region_config(input["multiRegionConfig"]) if input.get("multiRegionConfig") is not None else None
    await call.apply(
        services.UpdateInstance(
            stamp=new_stamp(),
            service_id=serviceId,
            environment_id=environmentId,
            changes=changes,
            regions=regions,
            num_replicas=input.get("numReplicas"),
        )
    )
    return True


def multi_region_config(given: object) -> dict[str, int | None]:
    """`{"us-west2": {"numReplicas": 2}, "us-east4-eqdc4a": null}` as region -> replicas. BadInput for any other shape."""
    if not isinstance(given, dict):
        raise BadInput('multiRegionConfig: expected an object like {"us-west2": {"numReplicas": 2}}')
    regions: dict[str, int | None] = {}
    for region, value in given.items():
        if value is None:
            regions[region] = None
            continue
        count = value.get("numReplicas", 1) if isinstance(value, dict) else None
        if not isinstance(count, int) or isinstance(count, bool):
            raise BadInput(f'multiRegionConfig.{region}: expected {{"numReplicas": <integer>}} or null')
        regions[region] = count
    return regions


def variables_(
    _: None,
    info: Info,
    projectId: str,
    environmentId: str,
    serviceId: str | None = None,
    unrendered: bool | None = None,
) -> dict[str, str]:
    """Rendered, with the platform's own variables; unrendered: exactly what was set."""
    call = call_of(info)
    if call.access.environment(environmentId).project_id != projectId:
        raise NotFound("Environment")
    if serviceId is None:
        return lookup.readable_of(call.world, environmentId, None)
    instance = call.access.instance(serviceId, environmentId)
    if unrendered:
        return lookup.readable_of(call.world, environmentId, serviceId)
    sealed = lookup.sealed_of(call.world, environmentId, serviceId)
    values = rendered_variables(variables.without_sealed(call.world), instance, call.cloud.conductor.router).values
    if "PORT" not in lookup.variables_of(call.world, environmentId, serviceId):
        values = {name: value for name, value in values.items() if name != "PORT"}  # injected into replicas, not shown
    return {name: value for name, value in values.items() if name not in sealed}


def _variable_values(given: object) -> dict[str, str]:
    if not isinstance(given, dict):
        raise BadInput("variables: expected an object of names and texts")
    return variables.checked_variables(given)


async def _upsert(info: Info, input: Input, values: dict[str, str], *, is_replacing: bool) -> bool:
    call = call_of(info)
    call.access.environment(input["environmentId"])
    await call.apply(
        variables.UpsertVariables(
            stamp=new_stamp(),
            project_id=input["projectId"],
            environment_id=input["environmentId"],
            service_id=input.get("serviceId"),
            values=values,
            is_replacing=is_replacing,
            is_skipping_deploys=bool(input.get("skipDeploys")),
        )
    )
    return True


async def variable_upsert(_: None, info: Info, input: Input) -> bool:
    return await _upsert(info, input, {input["name"]: input["value"]}, is_replacing=False)


async def variable_collection_upsert(_: None, info: Info, input: Input) -> bool:
    return await _upsert(info, input, _variable_values(input["variables"]), is_replacing=bool(input.get("replace")))


async def variable_delete(_: None, info: Info, input: Input) -> bool:
    call = call_of(info)
    call.access.environment(input["environmentId"])
    await call.apply(
        variables.DeleteVariable(new_stamp(), input["projectId"], input["environmentId"], input.get("serviceId"), input["name"])
    )
    return True


async def shared_variable_configure(_: None, info: Info, input: Input) -> views.View:
    call = call_of(info)
    environment = call.access.environment(input["environmentId"])
    for service_id in (*input["enabledServiceIds"], *input["disabledServiceIds"]):
        call.access.instance(service_id, environment.id)
    enabled, disabled = tuple(input["enabledServiceIds"]), tuple(input["disabledServiceIds"])
    command = variables.ConfigureShared(new_stamp(), input["projectId"], environment.id, input["name"], enabled, disabled)
    await call.apply(command)
    return views.variable_view(call, environment, None, input["name"])


def domains(
    _: None,
    info: Info,
    projectId: str,
    environmentId: str,
    serviceId: str,
) -> views.View:
    call = call_of(info)
    if call.access.instance(serviceId, environmentId).project_id != projectId:
        raise NotFound("ServiceInstance")
    return views.domains_view(call, serviceId, environmentId)


async def service_domain_create(_: None, info: Info, input: Input) -> views.View:
    return await make_domain(call_of(info), input["serviceId"], input["environmentId"], input.get("targetPort"))


async def make_domain(call: Call, service_id: str, environment_id: str, target_port: int | None) -> views.View:
    instance = call.access.instance(service_id, environment_id)
    stamp, region = new_stamp(), instance.settings.primary_region
    owner = owners.domain(stamp.id, region)
    address = call.cloud.plane.allocate(region, owner)
    try:
        world = await call.apply(places.CreateDomain(stamp, service_id, environment_id, region, address, target_port))
    except BaseException:
        call.cloud.plane.free(owner)
        raise
    return views.domain_view(call, world.domains[stamp.id])


async def service_domain_update(_: None, info: Info, input: Input) -> bool:
    call = call_of(info)
    found = call.access.domain(input["serviceDomainId"])
    if (found.service_id, found.environment_id) != (input["serviceId"], input["environmentId"]):
        raise NotFound("ServiceDomain")
    await call.apply(places.UpdateDomain(new_stamp(), found.id, input["domain"], input.get("targetPort")))
    return True


async def service_domain_delete(_: None, info: Info, id: str) -> bool:
    call = call_of(info)
    call.access.domain(id)
    await call.apply(places.DeleteDomain(new_stamp(), id))
    return True


def volume_instance(_: None, info: Info, id: str) -> views.View:
    call = call_of(info)
    found = call.world.volume_instances.get(id)
    if found is None:
        raise NotFound("VolumeInstance") if call.principal.is_account else NotAuthorized
    call.access.environment(found.environment_id)
    return views.volume_instance_view(call, found)


async def volume_create(_: None, info: Info, input: Input) -> views.View:
    call = call_of(info)
    project = call.access.project(input["projectId"])
    # The schema tells null (no instance anywhere) from an environmentId that is left out (an instance in each).
    environment_id = input.get("environmentId", project.base_environment_id)
    if input.get("environmentId") is None:
        call.access.require_account()
    else:
        call.access.environment(environment_id)
    stamp = new_stamp()
    world = await call.apply(
        places.CreateVolume(
            stamp, input["projectId"], environment_id, input.get("serviceId"), input["mountPath"], input.get("region")
        )
    )
    return views.volume_view(call, world.volumes[stamp.id])


async def volume_update(_: None, info: Info, volumeId: str, input: Input) -> views.View:
    call = call_of(info)
    call.access.volume(volumeId)
    world = await call.apply(places.RenameVolume(new_stamp(), volumeId, input.get("name")))
    return views.volume_view(call, world.volumes[volumeId])


async def volume_instance_update(_: None, info: Info, volumeId: str, input: Input, environmentId: str | None = None) -> bool:
    call = call_of(info)
    call.access.volume(volumeId)
    refuse_given(input, "state")
    if input.get("serviceId") is not None:
        call.access.service(input["serviceId"])
    await call.apply(
        places.UpdateVolumeInstance(new_stamp(), volumeId, environmentId, input.get("mountPath"), input.get("serviceId"))
    )
    return True


async def volume_delete(_: None, info: Info, volumeId: str) -> bool:
    call = call_of(info)
    call.access.volume(volumeId)
    await call.apply(places.DeleteVolume(new_stamp(), volumeId))
    return True


QUERIES = {
    "service": service,
    "serviceInstance": service_instance,
    "variables": variables_,
    "domains": domains,
    "volumeInstance": volume_instance,
}
MUTATIONS = {
    "serviceCreate": service_create,
    "serviceUpdate": service_update,
    "serviceDelete": service_delete,
    "serviceInstanceUpdate": service_instance_update,
    "variableUpsert": variable_upsert,
    "variableCollectionUpsert": variable_collection_upsert,
    "variableDelete": variable_delete,
    "sharedVariableConfigure": shared_variable_configure,
    "serviceDomainCreate": service_domain_create,
    "serviceDomainUpdate": service_domain_update,
    "serviceDomainDelete": service_domain_delete,
    "volumeCreate": volume_create,
    "volumeUpdate": volume_update,
    "volumeInstanceUpdate": volume_instance_update,
    "volumeDelete": volume_delete,
}
