"""How a project's Auth behaves: sign-ups, tokens, passwords, rate limits, mail.

A project has this from its beginning, so creating it here means setting what the program names, and deleting it means to stop
looking after it. What the program does not name is left alone, and a change of it is no drift.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Struct

from infra.provider.definition import Call, Found, Made, Recorded, Resource
from infra.provider.errors import NotFound
from infra.provider.fields import Field
from infra.provider.properties import Properties, plain
from infra.supabase.addresses import ref_of
from infra.supabase.auth_configuration.settings import SETTINGS
from infra.supabase.client import SupabaseClient
from infra.supabase.names import REF


class AuthConfigurationInputs(Struct, frozen=True):
    """`settings` by their names in the API, as the API takes them."""

    project_ref: str
    settings: dict[str, Any]


class AuthConfiguration(Resource[SupabaseClient, AuthConfigurationInputs]):
    """Secrets are answered as hashes, so their drift is not seen."""

    resource_type: ClassVar = "supabase:index:AuthConfiguration"
    collection: ClassVar = "auth_configurations"
    inputs_type: ClassVar = AuthConfigurationInputs
    fields: ClassVar = (
        Field("projectRef", REF, is_required=True, replaces=True),
        *(each.field() for each in SETTINGS),
    )

    def typed(self, inputs: Properties) -> AuthConfigurationInputs:
        """Forty optional settings are a map rather than forty attributes."""
        given: Mapping[str, Any] = plain(inputs)
        settings = {each.api: each.sent(given[each.wire]) for each in SETTINGS if given.get(each.wire) is not None}
        return AuthConfigurationInputs(given["projectRef"], settings)

    def typed_or_none(self, inputs: Properties) -> AuthConfigurationInputs | None:
        return self.typed(inputs) if inputs.get("projectRef") else None

    async def create(self, call: Call[SupabaseClient], inputs: AuthConfigurationInputs) -> Made:
        return await self._put(call, inputs)

    async def update(
        self, call: Call[SupabaseClient], recorded: Recorded[AuthConfigurationInputs], inputs: AuthConfigurationInputs
    ) -> Made:
        return await self._put(call, inputs)

    async def _put(self, call: Call[SupabaseClient], inputs: AuthConfigurationInputs) -> Made:
        readable = {each.api for each in SETTINGS if not each.is_secret}

        async def settled() -> Any | None:
            found = await _configuration(call, inputs.project_ref)
            if found is None or not inputs.settings.keys() <= readable:
                return None  # what cannot be looked at is set again, which is harmless
            return found if all(found.get(name) == value for name, value in inputs.settings.items()) else None

        if inputs.settings:
            await call.client.send("configure auth", "PATCH", _path(inputs.project_ref), inputs.settings, settled)
        elif await _configuration(call, inputs.project_ref) is None:
            raise NotFound(f"auth_configurations: there is no project {inputs.project_ref}", operation="configure auth")
        return Made(inputs.project_ref, {})

    async def located(self, call: Call[SupabaseClient], identity: str) -> str:
        return await ref_of(call, identity)

    async def read(self, call: Call[SupabaseClient], recorded: Recorded[AuthConfigurationInputs]) -> Found | None:
        found = await _configuration(call, recorded.identity)
        if found is None:
            return None
        known = recorded.inputs.settings if recorded.inputs else None
        inputs: Properties = {"projectRef": recorded.identity}
        for each in SETTINGS:
            if known is not None and each.api not in known:
                continue
            value = found.get(each.api)
            if each.is_secret:
                value = (known or {}).get(each.api)  # what was set is taken to stand
            told = each.told(value)
            if told not in (None, "", []) or (known is not None and told is not None):
                inputs[each.wire] = told
        return Found(recorded.identity, inputs, {})

    async def delete(self, call: Call[SupabaseClient], recorded: Recorded[AuthConfigurationInputs]) -> None:
        """Leaves everything as it is: nobody wrote down what it was before, and a project cannot be without."""


def _path(ref: str) -> str:
    return f"/v1/projects/{ref}/config/auth"


async def _configuration(call: Call[SupabaseClient], ref: str) -> Any | None:
    return await call.client.get_or_none("read auth configuration", _path(ref))
