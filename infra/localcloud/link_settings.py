"""The links between regions as they were last set: kept on disk, applied to the plane, shown by /_local/status."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.localcloud.local_requests import asked
from infra.localcloud.plane.documents import read_document, write_document
from infra.localcloud.plane.interface import REGIONS, Plane
from infra.localcloud.plane.link_quality import LinkQuality
from infra.localcloud.railway_api.call import Cloud
from infra.localcloud.world.errors import BadInput

RTT_MS_DEFAULT = 20.0
View = dict[str, Any]
Pair = tuple[str, str]


class LinkRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Connections opened in `from` towards `to`, with `both` the other direction too; a region left out means all of them.

    A setting left out stays as it is, except that cutting, partitioning and healing exclude each other.
    """

    from_region: str | None = msgspec.field(default=None, name="from")
    to_region: str | None = msgspec.field(default=None, name="to")
    is_both: bool = msgspec.field(default=False, name="both")
    rtt_ms: float | UnsetType = UNSET
    jitter_ms: float | UnsetType = UNSET
    loss_rate: float | UnsetType = UNSET
    seed: int | UnsetType | None = UNSET
    is_cut: bool | UnsetType = msgspec.field(default=UNSET, name="cut")
    is_partitioned: bool | UnsetType = msgspec.field(default=UNSET, name="partitioned")

    def matches(self, pair: Pair) -> bool:
        """Whether it speaks of connections opened in the first region of `pair` towards the second."""
        ways = [pair, pair[::-1]] if self.is_both else [pair]
        return any(self.from_region in (None, one) and self.to_region in (None, other) for one, other in ways)

    def changed(self, before: LinkQuality) -> LinkQuality:
        """ValueError for what no link can be."""
        named = ("rtt_ms", "jitter_ms", "loss_rate", "seed", "is_cut", "is_partitioned")
        given = {name: getattr(self, name) for name in named if getattr(self, name) is not UNSET}
        if not given:
            raise ValueError("expected one of rtt_ms, jitter_ms, loss_rate, seed, cut, partitioned")
        if given.get("is_cut"):
            given.setdefault("is_partitioned", False)
        if given.get("is_partitioned"):
            given.setdefault("is_cut", False)
        return msgspec.structs.replace(before, **given)


class LinkRecord(LinkQuality, frozen=True, forbid_unknown_fields=True):
    """One link on disk and in answers."""

    from_region: str = msgspec.field(default="", name="from")
    to_region: str = msgspec.field(default="", name="to")


def _quality(record: LinkRecord) -> LinkQuality:
    return LinkQuality(*(getattr(record, name) for name in LinkQuality.__struct_fields__))


class Links:
    """`rtt_ms` None takes up what was set before (at first RTT_MS_DEFAULT everywhere); a number sets all links anew."""

    def __init__(self, path: Path, rtt_ms: float | None) -> None:
        self._path = path
        given = LinkQuality(rtt_ms=RTT_MS_DEFAULT if rtt_ms is None else rtt_ms)
        self.table: dict[Pair, LinkQuality] = {(one, other): given for one in REGIONS for other in REGIONS if one != other}
        if rtt_ms is not None:
            self.write()
            return
        for kept in read_document(path, tuple[LinkRecord, ...], ()):
            if (kept.from_region, kept.to_region) in self.table:
                self.table[kept.from_region, kept.to_region] = _quality(kept)

    def write(self) -> None:
        write_document(self._path, self._records())

    async def apply(self, plane: Plane) -> None:
        """To a plane that was just started with RTT_MS_DEFAULT on every link."""
        for (one, other), quality in self.table.items():
            if quality != LinkQuality(rtt_ms=RTT_MS_DEFAULT):
                await plane.set_link(one, other, quality)

    async def set(self, plane: Plane, changed: dict[Pair, LinkQuality]) -> None:
        for (one, other), quality in changed.items():
            await plane.set_link(one, other, quality)
            self.table[one, other] = quality
        self.write()

    async def heal(self, plane: Plane) -> None:
        """Ends every fault of every link; round trips stay."""
        await self.set(plane, {pair: found.healed for pair, found in self.table.items() if found != found.healed})

    def view(self) -> list[View]:
        shown: list[View] = msgspec.to_builtins(self._records())
        return shown

    def _records(self) -> list[LinkRecord]:
        return [
            LinkRecord(**msgspec.structs.asdict(quality), from_region=one, to_region=other)
            for (one, other), quality in self.table.items()
        ]


async def set_links(request: Request, cloud: Cloud, links: Links) -> Response:
    wanted = await asked(request, LinkRequest, "links")
    for region in (wanted.from_region, wanted.to_region):
        if region is not None and region not in REGIONS:
            raise BadInput(f"links: expected one of {', '.join(REGIONS)}, got {region[:40]!r}")
    try:
        changed = {pair: wanted.changed(found) for pair, found in links.table.items() if wanted.matches(pair)}
    except ValueError as exc:
        raise BadInput(f"links: {exc}") from exc
    if not changed:
        raise BadInput("links: a region has no link to itself")
    await links.set(cloud.plane, changed)
    return JSONResponse({"links": links.view()})
