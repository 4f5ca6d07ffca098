"""Transitions of API tokens: those of the account and those of its workspace."""

from __future__ import annotations

from msgspec import Struct

from infra.localcloud.world.effects import Change, with_items
from infra.localcloud.world.errors import NotFound, Refused
from infra.localcloud.world.model import ApiToken, Stamp, World
from infra.localcloud.world.projects import checked_name

TOKENS_MAX = 100


class CreateApiToken(Struct, frozen=True):
    stamp: Stamp
    name: str
    workspace_id: str | None
    sha256: str
    display: str


class DeleteApiToken(Struct, frozen=True):
    stamp: Stamp
    token_id: str


def create_api_token(world: World, command: CreateApiToken) -> Change:
    if len(world.api_tokens) >= TOKENS_MAX:
        raise Refused(f"expected at most {TOKENS_MAX} API tokens")
    token = ApiToken(
        id=command.stamp.id,
        name=checked_name("Token", command.name),
        workspace_id=command.workspace_id,
        sha256=command.sha256,
        display=command.display,
        created_at=command.stamp.at,
    )
    return Change(with_items(world, api_tokens={token.id: token}))


def delete_api_token(world: World, command: DeleteApiToken) -> Change:
    if command.token_id not in world.api_tokens:
        raise NotFound("ApiToken")
    return Change(with_items(world, api_tokens={command.token_id: None}))
