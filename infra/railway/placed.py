"""What belongs to one service in one environment: the three ids that say where, and the state's id made of them."""

from __future__ import annotations

from msgspec import Struct

from infra.provider.fields import Field
from infra.railway.names import ID

PLACE_FIELDS = (
    Field("projectId", ID, is_required=True, replaces=True),
    Field("environmentId", ID, is_required=True, replaces=True),
    Field("serviceId", ID, is_required=True, replaces=True),
)


class PlacedInputs(Struct, frozen=True, rename="camel"):
    project_id: str
    environment_id: str
    service_id: str

    @property
    def place(self) -> dict[str, str]:
        return {"projectId": self.project_id, "environmentId": self.environment_id, "serviceId": self.service_id}

    @property
    def identity(self) -> str:
        """For resources that are one of a kind in their place."""
        return "/".join(self.place.values())


def place_of(identity: str) -> dict[str, str]:
    """The way back from `PlacedInputs.identity`."""
    project_id, environment_id, service_id = [*identity.split("/"), "", ""][:3]
    return {"projectId": project_id, "environmentId": environment_id, "serviceId": service_id}
