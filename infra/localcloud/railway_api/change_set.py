"""A change set, which Railway's CLI makes of a configuration file: intents about resources by name, read into one command.

Theory of operation. A change names a resource by its address (`service.api`, `database.cache`, `volume.data`). Services that are
to be created become new services; everything else becomes a patch of the environment, so that what a file asks for is checked
and carried out by the same rules as a patch, and as one change. Whether a change changes anything is not decided by comparing
texts: it is carried out on the world, which costs nothing, and the configurations before and after are compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from infra.localcloud.plane.interface import REGIONS
from infra.localcloud.railway_api.config_views import config_of, manifest
from infra.localcloud.railway_api.environment_config import changes_of
from infra.localcloud.railway_api.template_catalog import found as template_found
from infra.localcloud.railway_api.template_config import evaluated, new_service
from infra.localcloud.railway_api.volume_sizes import VOLUME_MB
from infra.localcloud.world import lookup
from infra.localcloud.world.additions import AddServices, add_services
from infra.localcloud.world.errors import BadInput
from infra.localcloud.world.model import Environment, Instance, Stamp, VolumeInstance, World
from infra.localcloud.world.networking import tcp_proxies_of
from infra.localcloud.world.patch_content import NewService, NewVolume, merged

VERSION = 1
CHANGES_MAX = 200
SECTIONS = ("source", "build", "deploy", "networking")
RESOURCE = (
    "address", "type", "kind", "name", *SECTIONS, "variables", "volumeAttachments", "config",
    "engine", "image", "output", "defaultMountPath",
)  # fmt: skip
ENGINES = {"redis": "redis"}
NESTED = ("multiRegionConfig", "tcpProxies")  # objects whose entries come and go one by one
KEPT = ("limitOverride", "registryCredentials")  # set elsewhere, or never shown to whoever wrote the file
Change = dict[str, Any]


@dataclass(slots=True)
class Draft:
    """What the changes read so far come to."""

    world: World
    environment: Environment
    stamp: Stamp
    created: list[NewService] = field(default_factory=list)
    volumes: list[NewVolume] = field(default_factory=list)
    patch: dict[str, Any] = field(default_factory=dict)
    regions: dict[str, str | None] = field(default_factory=dict)  # of volumes to come, by name

    def command(self, message: str | None = None, seen: World | None = None) -> AddServices:
        changes = changes_of({"services": self.patch}).services
        services, volumes = tuple(self.created), tuple(self.volumes)
        return AddServices(
            self.stamp, self.environment.id, services, volumes, self.patch, changes, message, is_numbering=False, seen=seen
        )

    def instance(self, address: str) -> Instance:
        """The service of this name in the environment. BadInput where there is none."""
        name = address.partition(".")[2]
        for one in self.world.instances.values():
            if one.environment_id == self.environment.id and self.world.services[one.service_id].name == name:
                return one
        raise BadInput(f"{address[:80]}: no such service in this environment")

    def patch_service(self, instance: Instance, patch: dict[str, Any]) -> None:
        self.patch[instance.service_id] = merged(self.patch.get(instance.service_id, {}), patch)


def changes_in(given: object) -> list[Change]:
    if not isinstance(given, dict) or given.get("version") != VERSION or not isinstance(given.get("changes"), list):
        raise BadInput(f"input: expected a change set of version {VERSION}")
    changes: list[Change] = given["changes"]
    if len(changes) > CHANGES_MAX:
        raise BadInput(f"input.changes: expected at most {CHANGES_MAX}, got {len(changes)}")
    for change in changes:
        is_known = isinstance(change, dict) and isinstance(change.get("kind"), str) and change["kind"] in KINDS
        if not is_known or not isinstance(change.get("address"), str):
            raise BadInput(f"input.changes: expected changes of the kinds {', '.join(KINDS)}, each with an address")
    return changes


def draft(world: World, environment: Environment, stamp: Stamp, changes: list[Change]) -> Draft:
    """BadInput with the address of what this cloud cannot do."""
    made = Draft(world, environment, stamp)
    for change in changes:
        if change["kind"] == "resource.create" and change["address"].startswith("volume."):
            made.regions[change["address"].partition(".")[2]] = _region(change)
    mounted = {one.get("volume") for change in changes for one in _attachments(change.get("resource") or change.get("after"))}
    for change in changes:
        if change["kind"] != "resource.create" or change["address"] not in mounted:  # a volume comes with its mount
            KINDS[change["kind"]](made, change)
    return made


def effective(world: World, environment: Environment, stamp: Stamp, changes: list[Change]) -> list[Change]:
    """Those by which the environment would be configured differently. What comes or goes always counts."""
    before = config_of(world, environment, is_decrypted=True)

    def is_one(change: Change) -> bool:
        if change["kind"] in ("resource.create", "resource.delete"):
            return True
        after = add_services(world, draft(world, environment, stamp, [change]).command()).world
        return config_of(after, environment, is_decrypted=True) != before

    return [change for change in changes if is_one(change)]


def _create(made: Draft, change: Change) -> None:
    address, resource = change["address"], change.get("resource")
    if not isinstance(resource, dict) or not isinstance(resource.get("name"), str):
        raise BadInput(f"{address[:80]}: expected a resource with a name")
    if unknown := [key for key, value in resource.items() if value and key not in RESOURCE]:
        raise BadInput(f"{address[:80]}.{unknown[0][:40]}: not known to the local cloud")
    match resource.get("type"):
        case "service":
            given = _service(made, address, resource)
        case "database":
            given = _database(address, resource)
        case "volume":
            if not address.startswith("volume."):
                raise BadInput(f"{address[:80]}: expected volume.NAME as the address of a volume")
            made.volumes.append(NewVolume(None, "/data", resource["name"], made.regions[address.partition(".")[2]]))
            return
        case kind:
            raise BadInput(f"{address[:80]}: the local cloud has no {str(kind)[:40]}s")
    made.created.append(new_service(address, given, made.stamp.child(f"service:{address}")))


def _region(change: Change) -> str | None:
    """Of a volume that is to be created. BadInput where it should have another size than all have here."""
    resource = _object(change["address"], change.get("resource"))
    config = _object(f"{change['address']}.config", resource.get("config"))
    region = config.get("region")
    if config.get("sizeMB") not in (None, VOLUME_MB):
        raise BadInput(f"{change['address'][:80]}.config.sizeMB: expected {VOLUME_MB}, which every volume has here")
    if region is not None and region not in REGIONS:
        raise BadInput(f"{change['address'][:80]}.config.region: expected one of {', '.join(REGIONS)}")
    return str(region) if region is not None else None


def _service(made: Draft, address: str, resource: dict[str, Any]) -> dict[str, Any]:
    """As a template has it, whose variables may be left empty."""
    return {
        "name": resource["name"],
        **{name: _section(name, resource[name]) for name in SECTIONS if resource.get(name)},
        "variables": {
            name: {**entry, "isOptional": True}
            for name, value in _object(f"{address}.variables", resource.get("variables")).items()
            if (entry := _variable(f"{address}.{name}", value)) is not None
        },
        "volumeMounts": {
            str(number): {
                "mountPath": one.get("mountPath"),
                "name": _volume_name(one),
                "region": made.regions.get(_volume_name(one)),
            }
            for number, one in enumerate(_attachments(resource))
        },
    }


def _database(address: str, resource: dict[str, Any]) -> dict[str, Any]:
    """Its template's service, under the name and of the image that the file gives it."""
    template = template_found(code=ENGINES.get(str(resource.get("engine"))))
    if template is None:
        raise BadInput(f"{address[:80]}: the local cloud runs {', '.join(ENGINES)}, not {str(resource.get('engine'))[:40]}")
    (service,) = template.config["services"].values()
    mount = {"mountPath": resource.get("defaultMountPath") or service["deploy"]["requiredMountPath"]}
    deploy = {**service["deploy"], **_section("deploy", resource.get("deploy") or {})}
    source = {"image": resource["image"]} if resource.get("image") else service["source"]
    return {**service, "name": resource["name"], "source": source, "deploy": deploy, "volumeMounts": {"data": mount}}


def _object(path: str, given: Any) -> dict[str, Any]:
    """Null is an empty one."""
    if not isinstance(given, dict | None):
        raise BadInput(f"{path[:120]}: expected an object")
    return given or {}


def _section(name: str, given: Any) -> Any:
    """Without the file's own tags and without what is off: a key that is not known matters only where it asks for something."""
    if not isinstance(given, dict) or name == "networking":
        return given
    kept = {key: value for key, value in given.items() if key != "type" and value is not False}
    if name == "deploy" and "numReplicas" in kept and "multiRegionConfig" not in kept:
        raise BadInput("deploy.numReplicas: expected multiRegionConfig, which says where the replicas are")
    return kept


def _variable(path: str, given: Any) -> dict[str, Any] | None:
    """Its entry in a patch; None where the file leaves the value as it is."""
    given = _object(path, given)
    sealing = {"isSealed": True} if given.get("isSealed") else {}
    match given.get("type"):
        case "preserve":
            return None
        case "reference":
            name = str(given.get("resource")).partition(".")[2]
            return {"value": f"${{{{{name}.{given.get('output')}}}}}", **sealing}
        case "sharedReference":
            return {"value": f"${{{{shared.{given.get('name')}}}}}", **sealing}
        case "raw":
            return _variable(path, {**_object(path, given.get("value")), "type": None})
    if isinstance(given.get("generator"), str):
        return {"value": evaluated(f"${{{{{given['generator']}}}}}"), **sealing}
    if not isinstance(given.get("value"), str):
        raise BadInput(f"{path[:120]}: expected a value")
    return {"value": given["value"], **sealing}


def _attachments(resource: Any) -> list[dict[str, Any]]:
    given = resource.get("volumeAttachments", resource) if isinstance(resource, dict) else None
    found = given.values() if isinstance(given, dict) else ()
    return [one for one in found if isinstance(one, dict) and isinstance(one.get("volume"), str)]


def _volume_name(attachment: dict[str, Any]) -> str:
    return str(attachment["volume"]).partition(".")[2]


def _update(made: Draft, change: Change) -> None:
    address, name, after = change["address"], change.get("field"), change.get("after")
    if address.startswith("volume."):
        _check_volume(made, address, after)
        return
    instance = made.instance(address)
    if name == "volumeAttachments":
        _mount(made, instance, address, after)
    elif name in SECTIONS:
        before = manifest(instance.settings).get(name, {})
        if name == "networking":
            before = {"tcpProxies": _proxies(made.world, instance)}
        wanted = _section(str(name), _object(f"{address}.{name}", after))
        made.patch_service(instance, {name: _replacement(before, wanted)})
    else:
        raise BadInput(f"{address[:80]}.{str(name)[:40]}: the local cloud cannot change it")


def _replacement(before: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """The section as the file has it: what it does not name goes back to its default, but for what a file cannot know."""
    whole = {**{key: None for key in before if key not in (*wanted, *KEPT, *NESTED)}, **wanted}
    for key in NESTED:
        if key in wanted or (key == "tcpProxies" and key in before):
            whole[key] = {**dict.fromkeys(before.get(key) or {}), **_object(key, wanted.get(key))}
    return whole


def _proxies(world: World, instance: Instance) -> dict[str, Any]:
    return {str(one.application_port): {} for one in tcp_proxies_of(world, instance.service_id, instance.environment_id)}


def _volume(made: Draft, name: str) -> VolumeInstance | None:
    there = (one for one in made.world.volume_instances.values() if one.deletes_at is None)
    own = (one for one in there if one.environment_id == made.environment.id)
    return next((one for one in own if made.world.volumes[one.volume_id].name == name), None)


def _check_volume(made: Draft, address: str, wanted: Any) -> None:
    """A file may say what is so already."""
    there = _volume(made, address.partition(".")[2])
    if there is None:
        raise BadInput(f"{address[:80]}: no such volume in this environment")
    so = {"region": there.region, "sizeMB": VOLUME_MB}
    if any(so.get(key) != value for key, value in _object(address, wanted).items() if value is not None):
        raise BadInput(f"{address[:80]}: the local cloud neither moves nor resizes volumes")


def _mount(made: Draft, instance: Instance, address: str, after: Any) -> None:
    """New volumes only: data that are there are not moved about by a file."""
    for one in _attachments(after):
        name, path = _volume_name(one), one.get("mountPath")
        there = _volume(made, name)
        if there is None:
            made.volumes.append(NewVolume(instance.service_id, str(path), name, made.regions.get(name)))
        elif (there.service_id, there.mount_path) != (instance.service_id, path):
            raise BadInput(f"{address[:80]}: volume {name[:40]} is mounted elsewhere; move it with `railway volume`")
    wanted = {_volume_name(one) for one in _attachments(after)}
    mounted = lookup.staying_volume(made.world, instance.service_id, instance.environment_id)
    if mounted is not None and made.world.volumes[mounted.volume_id].name not in wanted:
        raise BadInput(f"{address[:80]}: a file does not take a volume away; detach it with `railway volume`")


def _delete(made: Draft, change: Change) -> None:
    if change["address"].partition(".")[0] not in ("service", "database"):
        raise BadInput(f"{change['address'][:80]}: a file deletes services only")
    made.patch_service(made.instance(change["address"]), {"isDeleted": True})


def _set_variable(made: Draft, change: Change) -> None:
    name = str(change.get("variable"))
    entry = _variable(f"{change['address']}.{name}", change.get("after"))
    if entry is not None:
        made.patch_service(made.instance(change["address"]), {"variables": {name: entry}})


def _delete_variable(made: Draft, change: Change) -> None:
    made.patch_service(made.instance(change["address"]), {"variables": {str(change.get("variable")): None}})


KINDS = {
    "resource.create": _create,
    "resource.update": _update,
    "resource.delete": _delete,
    "variable.set": _set_variable,
    "variable.delete": _delete_variable,
}
