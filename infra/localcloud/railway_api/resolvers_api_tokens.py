# ruff: noqa: A002 -- arguments have the names that the schema gives them
"""Tokens of the account and of its workspace. Only the user makes and takes away tokens, never a token of less."""

from __future__ import annotations

import secrets
from typing import Any

from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.railway_api import views
from infra.localcloud.railway_api.call import Info
from infra.localcloud.railway_api.paging import connection
from infra.localcloud.railway_api.principal import fingerprint
from infra.localcloud.railway_api.resolvers_account import Input, call_of
from infra.localcloud.world.api_tokens import CreateApiToken, DeleteApiToken
from infra.localcloud.world.errors import NotAuthorized
from infra.localcloud.world.model import ApiToken


def api_tokens(_: None, info: Info, **paging: Any) -> views.View:
    call = call_of(info)
    call.access.require_user()
    return connection(list(call.world.api_tokens.values()), lambda one: one.id, _view, **paging)


def _view(found: ApiToken) -> views.View:
    return {"id": found.id, "name": found.name, "displayToken": found.display, "workspaceId": found.workspace_id}


async def api_token_create(_: None, info: Info, input: Input) -> str:
    """The token itself, this once."""
    call = call_of(info)
    call.access.require_user()
    workspace_id = input.get("workspaceId")
    if workspace_id not in (None, call.cloud.workspace_id):
        raise NotAuthorized
    token = secrets.token_hex(24)
    display = f"****-{token[-4:]}"
    await call.apply(CreateApiToken(new_stamp(), input["name"], workspace_id, fingerprint(token), display))
    return token


async def api_token_delete(_: None, info: Info, id: str) -> bool:
    call = call_of(info)
    call.access.require_user()
    await call.apply(DeleteApiToken(new_stamp(), id))
    return True


QUERIES = {"apiTokens": api_tokens}
MUTATIONS = {"apiTokenCreate": api_token_create, "apiTokenDelete": api_token_delete}
