"""Who asks, and what they may touch. Account tokens may do all, a workspace's all but what is the user's own (`me`, API tokens);
a project token only its project's one environment."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from infra.localcloud.world import lookup
from infra.localcloud.world.errors import NotAuthorized
from infra.localcloud.world.model import Departed, Deployment, Domain, Environment, Instance, Project, Service, Volume, World

T = TypeVar("T")
TOKEN_CHARACTERS_MAX = 512
NOTHING = Departed("", ())


@dataclass(frozen=True, slots=True)
class Principal:
    """`project_token_id` None means the account or, with `workspace_id`, that workspace of it."""

    project_token_id: str | None = None
    project_id: str | None = None
    environment_id: str | None = None
    api_token_id: str | None = None
    workspace_id: str | None = None

    @property
    def token_id(self) -> str:
        """By whom requests are counted."""
        return self.project_token_id or self.api_token_id or "account"

    @property
    def is_account(self) -> bool:
        return self.project_token_id is None


NOBODY = Principal("nobody", "", "")
"""Whoever asks for something public without a token: nothing of the world is theirs."""


def is_valid(principal: Principal, world: World) -> bool:
    """Whether the token is there still: a stream outlives the request that it began with."""
    if principal.project_token_id is not None:
        return principal.project_token_id in world.tokens
    return principal.api_token_id is None or principal.api_token_id in world.api_tokens


def fingerprint(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def identify(headers: Mapping[str, str], account_token: str, world: World) -> Principal | None:
    """From `Authorization: Bearer` or `Project-Access-Token`; None for neither or a wrong one.

    All comparisons are of digests and in constant time, and every project token is looked at, so that the time taken tells
    nothing about how near a guess was.
    """
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        given = fingerprint(bearer.strip()[:TOKEN_CHARACTERS_MAX])
        who = Principal() if hmac.compare_digest(given, fingerprint(account_token)) else None
        for own in world.api_tokens.values():
            if hmac.compare_digest(given, own.sha256):
                who = Principal(api_token_id=own.id, workspace_id=own.workspace_id)
        return who
    project_token = headers.get("project-access-token", "")[:TOKEN_CHARACTERS_MAX]
    found = None
    for token in world.tokens.values():
        if hmac.compare_digest(fingerprint(project_token), token.sha256):
            found = Principal(token.id, token.project_id, token.environment_id)
    return found


class Access:
    """The world as one principal may see it: NotFound for what is not there, NotAuthorized for what is not theirs."""

    def __init__(self, world: World, principal: Principal) -> None:
        self.world, self.principal = world, principal

    def require_account(self) -> None:
        if not self.principal.is_account:
            raise NotAuthorized

    def require_user(self) -> None:
        """What is the user's own is none of a workspace token's business, nor of a project token's."""
        self.require_account()
        if self.principal.workspace_id is not None:
            raise NotAuthorized

    def _require(self, project_id: str, environment_id: str | None) -> None:
        if self.principal.is_account:
            return
        is_inside = project_id == self.principal.project_id and environment_id in (None, self.principal.environment_id)
        if not is_inside:
            raise NotAuthorized

    def project(self, project_id: str) -> Project:
        if not self.principal.is_account and project_id != self.principal.project_id:
            raise NotAuthorized  # whether it exists is none of a stranger's business
        return lookup.project(self.world, project_id)

    def shown_project(self, project_id: str) -> Project:
        """Also one that was deleted and is not gone yet. For answers only: nothing can be done with it any more."""
        return self._departed(project_id).project or self.project(project_id)

    def environment(self, environment_id: str) -> Environment:
        if not self.principal.is_account and environment_id != self.principal.environment_id:
            raise NotAuthorized
        return lookup.environment(self.world, environment_id)

    def shown_environment(self, environment_id: str) -> Environment:
        return self._departed(environment_id).environment or self.environment(environment_id)

    def service(self, service_id: str) -> Service:
        found = self._found(self.world.services, service_id) or lookup.service(self.world, service_id)
        self._require(found.project_id, None)
        return found

    def shown_service(self, service_id: str) -> Service:
        return self._departed(service_id).service or self.service(service_id)

    def _departed(self, thing_id: str) -> Departed:
        found = self.world.departed.get(thing_id)
        is_theirs = found is not None and (
            self.principal.is_account or (found.service is not None and found.service.project_id == self.principal.project_id)
        )
        return found if found is not None and is_theirs else NOTHING

    def instance(self, service_id: str, environment_id: str) -> Instance:
        self.environment(environment_id)
        self.service(service_id)
        return lookup.instance(self.world, service_id, environment_id)

    def deployment(self, deployment_id: str) -> Deployment:
        found = self._found(self.world.deployments, deployment_id) or lookup.deployment(self.world, deployment_id)
        self._require(found.project_id, found.environment_id)
        return found

    def domain(self, domain_id: str) -> Domain:
        found = self._found(self.world.domains, domain_id) or lookup.domain(self.world, domain_id)
        self._require(found.project_id, found.environment_id)
        return found

    def volume(self, volume_id: str) -> Volume:
        found = self._found(self.world.volumes, volume_id) or lookup.volume(self.world, volume_id)
        environments = {one.environment_id for one in self.world.volume_instances.values() if one.volume_id == volume_id}
        self._require(found.project_id, None)
        for environment_id in environments:
            self._require(found.project_id, environment_id)
        return found

    def _found(self, table: Mapping[str, T], key: str) -> T | None:
        found = table.get(key)
        if found is None and not self.principal.is_account:
            raise NotAuthorized
        return found
