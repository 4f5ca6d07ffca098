"""A name of the user's own for a service, with the DNS records that it needs."""

from __future__ import annotations

from typing import ClassVar

from infra.provider.definition import Call, Recorded
from infra.provider.fields import Field, Output
from infra.provider.rules import Whole
from infra.railway.client import Data, RailwayClient
from infra.railway.departure import there
from infra.railway.listed import Listed
from infra.railway.names import HOST_NAME
from infra.railway.operations import Operation, load
from infra.railway.placed import PLACE_FIELDS, PlacedInputs

CREATE = load(__file__, "create.graphql")
LIST = load(__file__, "list.graphql")
UPDATE = load(__file__, "update.graphql")
DELETE = load(__file__, "delete.graphql")


class CustomDomainInputs(PlacedInputs, frozen=True):
    domain: str
    target_port: int | None = None


class CustomDomain(Listed[CustomDomainInputs]):
    """Applied at once, without a deployment. Requests arrive when the records of `dnsRecords` are in the zone.

    How far DNS and the certificate are is no output: they change by themselves, and a refresh must find nothing.
    """

    resource_type: ClassVar = "railway:index:CustomDomain"
    collection: ClassVar = "custom_domains"
    called: ClassVar = "custom domain"
    inputs_type: ClassVar = CustomDomainInputs
    deletion: ClassVar = DELETE
    deletes_before_replace: ClassVar = True  # a name is served once
    fields: ClassVar = (
        *PLACE_FIELDS,
        Field("domain", HOST_NAME, is_required=True, replaces=True),
        Field("targetPort", Whole(1, 65_535), is_kept_when_absent=True),
    )
    outputs: ClassVar = (
        Output(
            "dnsRecords",
            about="records to make: name, type, value, zone; the one that proves ownership included",
            schema={"type": "array", "items": {"type": "object", "additionalProperties": {"type": "string"}}},
        ),
        Output("url"),
    )

    async def entries(self, call: Call[RailwayClient], place: dict[str, str]) -> list[Data] | None:
        answer = await call.client.query_or_none(LIST, **place)
        return None if answer is None else there(answer["domains"]["customDomains"])

    def name_of(self, entry: Data) -> str:
        return str(entry["domain"])

    def inputs_of(self, entry: Data, place: dict[str, str], recorded: CustomDomainInputs | None) -> Data:
        inputs: Data = {**place, "domain": entry["domain"]}
        if recorded is None or recorded.target_port is not None:
            # Railway guesses a port when none is asked for; its guess is not a wish of the user's.
            inputs["targetPort"] = entry["targetPort"]
        return inputs

    def outputs_of(self, entry: Data) -> Data:
        return {"dnsRecords": records_of(entry["status"]), "url": f"https://{entry['domain']}"}

    def is_made_from(self, entry: Data, inputs: CustomDomainInputs) -> bool:
        return bool(entry["domain"] == inputs.domain)

    def creation(self, inputs: CustomDomainInputs) -> tuple[Operation, Data]:
        wanted: Data = {**inputs.place, "domain": inputs.domain}
        if inputs.target_port is not None:
            wanted["targetPort"] = inputs.target_port
        return CREATE, {"input": wanted}

    def change(self, identity: str, recorded: Recorded[CustomDomainInputs], inputs: CustomDomainInputs) -> tuple[Operation, Data]:
        return UPDATE, {"id": identity, "environmentId": inputs.environment_id, "targetPort": inputs.target_port}


def records_of(status: Data) -> list[Data]:
    """Railway's records and the proof of ownership in one form, sorted, so that their order is no change."""
    records = [
        {
            "name": each["fqdn"],
            "type": str(each["recordType"]).removeprefix("DNS_RECORD_TYPE_"),
            "value": each["requiredValue"],
            "zone": each["zone"],
        }
        for each in status["dnsRecords"]
    ]
    host, token = status.get("verificationDnsHost"), status.get("verificationToken")
    if host and token:
        zone = next((each["zone"] for each in records), "")
        records.append({"name": host, "type": "TXT", "value": token, "zone": zone})
    return sorted(records, key=lambda each: (each["type"], each["name"]))
