"""The fake's private network endpoints, egress gateways and edge caching."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
Place = tuple[str, str]


class InstanceNetwork:
    """Part of FakeRailway: what it needs of the whole is declared here."""

    environments: dict[str, Json]
    instances: dict[Place, Json]
    domains: dict[str, Json]

    def __init__(self) -> None:
        super().__init__()
        self.networks: dict[str, Json] = {}
        self.endpoints: dict[Place, Json] = {}
        self.gateways: dict[Place, list[Json]] = {}
        self.edge_configs: dict[Place, Json] = {}
        self.purges: list[str] = []

    def _id(self, kind: str) -> str:
        raise NotImplementedError

    def refuse(self, message: str) -> None:
        raise NotImplementedError

    def _instance_place(self, service_id: str, environment_id: str) -> Place:
        if (service_id, environment_id) not in self.instances:
            self.refuse("ServiceInstance not found")
        return service_id, environment_id

    def _privateNetworks(self, environmentId: str) -> Json:  # noqa: N802, N803
        if environmentId not in self.environments:
            self.refuse("Environment not found")
        return {"privateNetworks": [each for each in self.networks.values() if each["environmentId"] == environmentId]}

    def _privateNetworkCreateOrGet(self, input: Json) -> Json:  # noqa: A002, N802
        own = [each for each in self.networks.values() if each["environmentId"] == input["environmentId"]]
        if not own:
            identity = self._id("network")
            self.networks[identity] = {**input, "publicId": identity, "dnsName": "railway", "deletedAt": None}
            own = [self.networks[identity]]
        return {"privateNetworkCreateOrGet": own[0]}

    def _privateNetworkEndpoint(self, environmentId: str, privateNetworkId: str, serviceId: str) -> Json:  # noqa: N802, N803
        assert privateNetworkId in self.networks
        return {"privateNetworkEndpoint": self.endpoints.get(self._instance_place(serviceId, environmentId))}

    def _privateNetworkEndpointCreateOrGet(self, input: Json) -> Json:  # noqa: A002, N802
        place = self._instance_place(input["serviceId"], input["environmentId"])
        # Railway's own name, made from the service's: the wished one has to be asked for.
        endpoint = {"publicId": self._id("endpoint"), "dnsName": f"service-{len(self.endpoints)}", "newDnsName": None}
        self.endpoints.setdefault(place, {**endpoint, "privateIps": [], "syncStatus": "ACTIVE", "deletedAt": None})
        return {"privateNetworkEndpointCreateOrGet": self.endpoints[place]}

    def _endpoint(self, identity: str) -> Json:
        found = next((each for each in self.endpoints.values() if each["publicId"] == identity), None)
        if found is None:
            self.refuse("PrivateNetworkEndpoint not found")
        assert found is not None
        return found

    def _privateNetworkEndpointRename(self, id: str, dnsName: str, privateNetworkId: str) -> Json:  # noqa: A002, N802, N803
        self._endpoint(id)["newDnsName"] = dnsName
        return {"privateNetworkEndpointRename": True}

    def _privateNetworkEndpointDelete(self, id: str) -> Json:  # noqa: A002, N802
        self._endpoint(id)["syncStatus"] = "DELETING"
        return {"privateNetworkEndpointDelete": True}

    def _egressGateways(self, environmentId: str, serviceId: str) -> Json:  # noqa: N802, N803
        return {"egressGateways": self.gateways.get(self._instance_place(serviceId, environmentId), [])}

    def _egressGatewayAssociationCreate(self, input: Json) -> Json:  # noqa: A002, N802
        place = self._instance_place(input["serviceId"], input["environmentId"])
        gateway = {"ipv4": f"203.0.113.{len(self.gateways)}", "region": input.get("region") or "us-west2"}
        self.gateways.setdefault(place, []).append(gateway)
        return {"egressGatewayAssociationCreate": self.gateways[place]}

    def _egressGatewayAssociationsClear(self, input: Json) -> Json:  # noqa: A002, N802
        self.gateways.pop(self._instance_place(input["serviceId"], input["environmentId"]), None)
        return {"egressGatewayAssociationsClear": True}

    def _edgeConfig(self, serviceId: str, environmentId: str) -> Json:  # noqa: N802, N803
        place = self._instance_place(serviceId, environmentId)
        return {"serviceInstance": {"edgeConfig": self.edge_configs.get(place)}}

    def _enableServiceCdn(self, input: Json) -> Json:  # noqa: A002, N802
        place = self._instance_place(input["serviceId"], input["environmentId"])
        if not any(each["serviceId"] == place[0] for each in self.domains.values()):
            self.refuse("Service has no public domain")
        caching = {"mode": "auto", "defaultTtlSeconds": 3600, "htmlCaching": "auto", "purgeOnDeploy": "OFF"}
        caching |= {"staleWhileRevalidate": {"enabled": False}}
        caching |= (input.get("config") or {}).get("caching") or {}
        self.edge_configs[place] = {"id": self._id("edge"), "enabled": True, "caching": caching}
        return {"enableServiceCdn": self.edge_configs[place]}

    def _updateServiceEdgeConfig(self, input: Json) -> Json:  # noqa: A002, N802
        place = self._instance_place(input["serviceId"], input["environmentId"])
        assert input["config"]["caching"]["mode"] == "auto", "left out, it might turn caching off"
        self.edge_configs[place]["caching"].update(input["config"]["caching"])
        return {"updateServiceEdgeConfig": self.edge_configs[place]}

    def _disableServiceCdn(self, input: Json) -> Json:  # noqa: A002, N802
        self.edge_configs.pop(self._instance_place(input["serviceId"], input["environmentId"]), None)
        return {"disableServiceCdn": True}

    def _purgeServiceCache(self, input: Json) -> Json:  # noqa: A002, N802
        self.purges.append(input["scope"])
        return {"purgeServiceCache": True}
