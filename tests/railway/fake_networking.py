"""The fake's TCP proxies, custom domains and project tokens."""

from __future__ import annotations

import secrets
from typing import Any

Json = dict[str, Any]


class Networking:
    """Part of FakeRailway: what it needs of the whole is declared here."""

    instances: dict[tuple[str, str], Json]
    environments: dict[str, Json]

    def __init__(self) -> None:
        super().__init__()
        self.proxies: dict[str, Json] = {}
        self.custom_domains: dict[str, Json] = {}
        self.tokens: dict[str, Json] = {}
        self.token_values: list[str] = []

    def _id(self, kind: str) -> str:
        raise NotImplementedError

    def refuse(self, message: str) -> None:
        raise NotImplementedError

    def commit_networking(self, environment_id: str, service_id: str, given: Json) -> None:
        """The part of a patch that speaks of TCP proxies."""
        for port, wanted in (given.get("tcpProxies") or {}).items():
            here = [each for each in self._proxies_of(environment_id, service_id) if each["applicationPort"] == int(port)]
            if wanted is None:
                for each in here:
                    del self.proxies[each["id"]]
            elif not here:
                identity = self._id("proxy")
                self.proxies[identity] = {
                    "id": identity,
                    "domain": "roundhouse.proxy.rlwy.net",
                    "proxyPort": 15_000 + len(self.proxies),
                    "applicationPort": int(port),
                    "environmentId": environment_id,
                    "serviceId": service_id,
                    "syncStatus": "CREATING",
                    "deletedAt": None,
                }

    def _proxies_of(self, environment_id: str, service_id: str) -> list[Json]:
        place = (environment_id, service_id)
        return [each for each in self.proxies.values() if (each["environmentId"], each["serviceId"]) == place]

    def _tcpProxies(self, environmentId: str, serviceId: str) -> Json:  # noqa: N802, N803
        if (serviceId, environmentId) not in self.instances:
            self.refuse("ServiceInstance not found")
        return {"tcpProxies": self._proxies_of(environmentId, serviceId)}

    def _tcpProxyDelete(self, id: str) -> Json:  # noqa: A002, N802
        if id not in self.proxies or self.proxies[id]["syncStatus"] == "DELETING":
            self.refuse("TCPProxy not found")
        self.proxies[id]["syncStatus"] = "DELETING"  # Railway shows it for a while
        return {"tcpProxyDelete": True}

    def _customDomains(self, projectId: str, environmentId: str, serviceId: str) -> Json:  # noqa: N802, N803
        if (serviceId, environmentId) not in self.instances:
            self.refuse("ServiceInstance not found")
        return {"domains": {"customDomains": [each for each in self.custom_domains.values() if each["serviceId"] == serviceId]}}

    def _customDomainCreate(self, input: Json) -> Json:  # noqa: A002, N802
        if any(each["domain"] == input["domain"] for each in self.custom_domains.values()):
            self.refuse("Domain is already in use")
        label, _, zone = input["domain"].partition(".")
        record = {
            "hostlabel": label,
            "fqdn": input["domain"],
            "zone": zone,
            "recordType": "DNS_RECORD_TYPE_CNAME",
            "requiredValue": "abc123.up.railway.app",
            "purpose": "DNS_RECORD_PURPOSE_TRAFFIC_ROUTE",
        }
        identity = self._id("custom")
        status = {"verified": False, "verificationDnsHost": f"_railway-verify.{label}", "verificationToken": "railway-verify=1"}
        self.custom_domains[identity] = {
            "targetPort": 8080,  # Railway's own guess, where none is given
            **input,
            "id": identity,
            "deletedAt": None,
            "status": {**status, "dnsRecords": [record]},
        }
        return {"customDomainCreate": self.custom_domains[identity]}

    def _customDomainUpdate(self, id: str, environmentId: str, targetPort: int | None) -> Json:  # noqa: A002, N802, N803
        self.custom_domains[id]["targetPort"] = targetPort
        return {"customDomainUpdate": True}

    def _customDomainDelete(self, id: str) -> Json:  # noqa: A002, N802
        if self.custom_domains.pop(id, None) is None:
            self.refuse("CustomDomain not found")
        return {"customDomainDelete": True}

    def _projectTokens(self, projectId: str, after: str | None) -> Json:  # noqa: N802, N803
        """One on a page, so that a reader who forgets the next one is caught."""
        own = [each for each in self.tokens.values() if each["projectId"] == projectId]
        start = next((index + 1 for index, each in enumerate(own) if each["id"] == after), 0)
        page = own[start : start + 1]
        info = {"hasNextPage": start + 1 < len(own), "endCursor": page[-1]["id"] if page else None}
        return {"projectTokens": {"edges": [{"node": each} for each in page], "pageInfo": info}}

    def _projectTokenCreate(self, input: Json) -> Json:  # noqa: A002, N802
        identity = self._id("token")
        self.tokens[identity] = {**input, "id": identity}
        self.token_values.append(secrets.token_hex(16))
        return {"projectTokenCreate": self.token_values[-1]}

    def _projectTokenDelete(self, id: str) -> Json:  # noqa: A002, N802
        if self.tokens.pop(id, None) is None:
            self.refuse("ProjectToken not found")
        return {"projectTokenDelete": True}
