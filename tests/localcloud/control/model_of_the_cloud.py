"""What Railway's API promises, in as few words as possible: dictionaries, no effects, no time, no code shared with the cloud.

Deployments are taken as settled: a service with a cache image comes up unless one of its variables cannot be resolved; any
other image, and none, fails. Whatever replaces a deployment that serves leaves it REMOVED.
"""

from __future__ import annotations

from dataclasses import dataclass, field

CACHE_IMAGE = "valkey/valkey:8"
SHARED = "${{shared.S}}"
Place = tuple[str, str]  # service id, environment id


@dataclass
class Deployed:
    status: str
    variables: dict[str, str]
    has_served: bool = False


@dataclass
class Environment:
    project: str
    name: str
    shared: dict[str, str] = field(default_factory=dict)
    staged: dict[str, dict[str, str | None]] = field(default_factory=dict)  # service id ('' for shared) -> changes


@dataclass
class Service:
    project: str
    name: str
    image: str | None


@dataclass
class Volume:
    project: str
    environment: str | None
    service: str | None
    mount_path: str
    is_pending: bool = False  # deleted, and kept for the grace


class Model:
    def __init__(self) -> None:
        self.projects: dict[str, str] = {}
        self.environments: dict[str, Environment] = {}
        self.services: dict[str, Service] = {}
        self.variables: dict[Place, dict[str, str]] = {}  # its keys are the instances there are
        self.deployments: dict[Place, list[Deployed]] = {}
        self.domains: dict[str, tuple[Place, int | None]] = {}
        self.volumes: dict[str, Volume] = {}
        self.scheduled: set[str] = set()  # projects
        self.departed: dict[str, str] = {}  # shown, with deletedAt, though deleted: id -> kind

    # what there is

    def environments_of(self, project: str) -> list[str]:
        return [key for key, found in self.environments.items() if found.project == project]

    def instances_of(self, environment: str) -> list[Place]:
        return [place for place in self.variables if place[1] == environment]

    def volume_of(self, place: Place) -> str | None:
        """The one that stays."""
        found = [key for key, one in self.volumes.items() if (one.service, one.environment) == place and not one.is_pending]
        return found[0] if found else None

    def serving(self, place: Place) -> Deployed | None:
        return next((found for found in self.deployments[place] if found.status == "SUCCESS"), None)

    # what happens

    def add_service(self, key: str, service: Service, variables: dict[str, str]) -> None:
        self.services[key] = service
        for environment in self.environments_of(service.project):
            self._add_instance((key, environment), variables)
            if service.image is not None:
                self.deploy((key, environment))

    def _add_instance(self, place: Place, variables: dict[str, str]) -> None:
        self.variables[place], self.deployments[place] = dict(variables), []

    def fork(self, key: str, project: str, name: str, source: str | None) -> None:
        self.environments[key] = Environment(project, name)
        if source is None:
            return
        self.environments[key].shared = dict(self.environments[source].shared)
        for service, _ in self.instances_of(source):
            self._add_instance((service, key), self.variables[service, source])
        for place in self.instances_of(key):
            if self.services[place[0]].image is not None:
                self.deploy(place)

    def deploy(self, place: Place, variables: dict[str, str] | None = None) -> None:
        given = dict(self.variables[place] if variables is None else variables)
        shared = self.environments[place[1]].shared
        is_resolved = SHARED not in given.values() or "S" in shared
        if self.services[place[0]].image != CACHE_IMAGE or not is_resolved:
            self.deployments[place].append(Deployed("FAILED", given))
            return
        self.stop(place)
        self.deployments[place].append(Deployed("SUCCESS", given, has_served=True))

    def stop(self, place: Place) -> None:
        if (old := self.serving(place)) is not None:
            old.status = "REMOVED"

    def set_variables(self, environment: str, service: str | None, after: dict[str, str], *, is_deploying: bool) -> None:
        if service is not None:
            place = (service, environment)
            has_changed, self.variables[place] = self.variables[place] != after, after
            affected = [place]
        else:
            has_changed, self.environments[environment].shared = self.environments[environment].shared != after, after
            affected = [place for place in self.instances_of(environment) if SHARED in self.variables[place].values()]
        for place in affected if has_changed and is_deploying else ():
            if self.serving(place) is not None:
                self.deploy(place)

    def commit(self, environment: str) -> bool:
        """False where a service of the staged changes is not there any more."""
        found = self.environments[environment]
        if any(service and (service, environment) not in self.variables for service in found.staged):
            return False
        before = {place: dict(self.variables[place]) for place in self.instances_of(environment)}
        shared_before = dict(found.shared)
        for service, changes in found.staged.items():
            target = self.variables[service, environment] if service else found.shared
            for name, value in changes.items():
                target.pop(name, None) if value is None else target.update({name: value})
        found.staged = {}
        for place, old in before.items():
            is_touched = self.variables[place] != old
            is_affected = found.shared != shared_before and SHARED in self.variables[place].values()
            if (is_touched or is_affected) and self.services[place[0]].image is not None:
                self.deploy(place)
        return True

    def remove_instance(self, place: Place) -> None:
        for volume in self.volumes.values():
            if (volume.service, volume.environment) == place:
                volume.service = None
        self.domains = {key: found for key, found in self.domains.items() if found[0] != place}
        del self.variables[place], self.deployments[place]

    def remove_service(self, service: str) -> None:
        for place in [place for place in self.variables if place[0] == service]:
            self.remove_instance(place)
        del self.services[service]
        self.departed[service] = "service"

    def remove_environment(self, environment: str) -> None:
        for place in self.instances_of(environment):
            self.remove_instance(place)
        self.volumes = {key: found for key, found in self.volumes.items() if found.environment != environment}
        del self.environments[environment]
        self.departed[environment] = "environment"

    def remove_project(self, project: str) -> None:
        for environment in self.environments_of(project):
            self.remove_environment(environment)
        for service in [key for key, found in self.services.items() if found.project == project]:
            del self.services[service]
            self.departed[service] = "service"
        self.volumes = {key: found for key, found in self.volumes.items() if found.project != project}
        del self.projects[project]
        self.departed[project] = "project"
        self.scheduled.discard(project)

    def pass_grace(self) -> None:
        self.volumes = {key: found for key, found in self.volumes.items() if not found.is_pending}
        for project in list(self.scheduled):
            self.remove_project(project)
