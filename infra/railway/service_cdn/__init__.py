"""Caching of a service's answers at Railway's edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from infra.provider.definition import Call, Made, Recorded
from infra.provider.fields import Field
from infra.provider.rules import Anything, Choice, MapOf, Truth, Whole
from infra.railway.client import Data, RailwayClient
from infra.railway.operations import load
from infra.railway.placed import PLACE_FIELDS, PlacedInputs
from infra.railway.placed_setting import PlacedSetting, Step

READ = load(__file__, "read.graphql")
ENABLE = load(__file__, "enable.graphql")
UPDATE = load(__file__, "update.graphql")
DISABLE = load(__file__, "disable.graphql")
PURGE = load(__file__, "purge.graphql")

CACHING = {
    "default_ttl_seconds": "defaultTtlSeconds",
    "html_caching": "htmlCaching",
    "purge_on_deploy": "purgeOnDeploy",
    "stale_while_revalidate": "staleWhileRevalidate",
}
"""Our names -> EdgeCachingConfigInput's."""


class ServiceCdnInputs(PlacedInputs, frozen=True):
    default_ttl_seconds: int | None = None
    html_caching: str | None = None
    purge_on_deploy: str | None = None
    stale_while_revalidate: bool | None = None
    purge_triggers: dict[str, Any] | None = None


class ServiceCdn(PlacedSetting[ServiceCdnInputs]):
    """On as long as the resource is there. The service needs a public domain. What is left out stays as Railway has it."""

    resource_type: ClassVar = "railway:index:ServiceCdn"
    collection: ClassVar = "service_cdns"
    called: ClassVar = "CDN"
    inputs_type: ClassVar = ServiceCdnInputs
    fields: ClassVar = (
        *PLACE_FIELDS,
        Field("defaultTtlSeconds", Whole(0, 31_536_000), is_kept_when_absent=True),
        Field("htmlCaching", Choice(("auto", "force", "never")), is_kept_when_absent=True),
        Field("purgeOnDeploy", Choice(("OFF", "HTML", "ALL")), is_kept_when_absent=True),
        Field("staleWhileRevalidate", Truth(), is_kept_when_absent=True),
        Field("purgeTriggers", MapOf(Anything(), entries_max=100), about="the cache is emptied when anything in it changes"),
    )

    async def update(self, call: Call[RailwayClient], recorded: Recorded[ServiceCdnInputs], inputs: ServiceCdnInputs) -> Made:
        made = await super().update(call, recorded, inputs)
        if recorded.inputs is not None and recorded.inputs.purge_triggers != inputs.purge_triggers:

            async def unknowable() -> Data | None:
                return None  # emptying twice is harmless

            wanted = {"environmentId": inputs.environment_id, "serviceId": inputs.service_id, "scope": "ALL"}
            await call.client.mutate(PURGE, {"input": wanted}, unknowable)
        return made

    async def state(self, call: Call[RailwayClient], place: dict[str, str]) -> Data | None:
        answer = await call.client.query_or_none(READ, environmentId=place["environmentId"], serviceId=place["serviceId"])
        config: Data | None = ((answer or {}).get("serviceInstance") or {}).get("edgeConfig")
        return config if config is not None and config["enabled"] else None

    def inputs_of(self, state: Data, recorded: ServiceCdnInputs | None) -> Data:
        found = _caching(state)
        inputs: Data = {
            theirs: found[theirs] for ours, theirs in CACHING.items() if recorded is None or getattr(recorded, ours) is not None
        }
        if recorded is not None and recorded.purge_triggers is not None:
            inputs["purgeTriggers"] = recorded.purge_triggers
        return inputs

    def steps(self, state: Data | None, inputs: ServiceCdnInputs) -> Sequence[Step]:
        place = {"environmentId": inputs.environment_id, "serviceId": inputs.service_id}
        wanted = {theirs: getattr(inputs, ours) for ours, theirs in CACHING.items() if getattr(inputs, ours) is not None}
        if state is None:
            return ((ENABLE, {"input": {**place, "config": {"caching": _sent(wanted)}} if wanted else place}),)
        found = _caching(state)
        changed = {name: value for name, value in wanted.items() if found[name] != value}
        if not changed:
            return ()
        # The mode goes along as it is: a caching section without one might turn caching off.
        caching = {**_sent({**found, **changed}), "mode": (state.get("caching") or {}).get("mode") or "auto"}
        return ((UPDATE, {"input": {**place, "config": {"caching": caching}}}),)

    def removal(self, state: Data, place: dict[str, str]) -> Step:
        return DISABLE, {"input": {"environmentId": place["environmentId"], "serviceId": place["serviceId"]}}


def _caching(state: Data) -> Data:
    caching = state.get("caching") or {}
    found = {name: caching.get(name) for name in CACHING.values()}
    return {**found, "staleWhileRevalidate": bool((caching.get("staleWhileRevalidate") or {}).get("enabled"))}


def _sent(caching: Data) -> Data:
    sent = {name: value for name, value in caching.items() if value is not None}
    if "staleWhileRevalidate" in sent:
        sent["staleWhileRevalidate"] = {"enabled": sent["staleWhileRevalidate"]}
    return sent
