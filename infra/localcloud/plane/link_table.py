"""What the links process should do, derived from the address book and the round trips that were set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from infra.localcloud.plane.addresses import AddressBook, region_of
from infra.localcloud.plane.attendants import Attendant
from infra.localcloud.plane.link_quality import LinkQuality
from infra.localcloud.plane.links import Link


class LinkTable:
    """Round trips per ordered pair of regions; one table per change, none when nothing changed."""

    def __init__(self, attendant: Attendant, rtt_ms: float) -> None:
        self._attendant = attendant
        self._default = LinkQuality(rtt_ms=rtt_ms)
        self._set: dict[tuple[str, str], LinkQuality] = {}
        self._followed: tuple[Link, ...] = ()
        self._lock = asyncio.Lock()

    def set(self, from_region: str, to_region: str, quality: LinkQuality) -> None:
        self._set[from_region, to_region] = quality

    def distance_ms(self, from_region: str, to_region: str) -> float:
        """For choosing the nearest: below zero for the region itself."""
        return -1.0 if from_region == to_region else self._link(from_region, to_region).rtt_ms

    async def follow(self, book: AddressBook) -> None:
        """Returns when every near end of the book listens on every port known for its target."""
        async with self._lock:
            table = links_of(book, self._link)
            if table != self._followed:
                await self._attendant.follow(table)
                self._followed = table

    def _link(self, from_region: str, to_region: str) -> LinkQuality:
        return self._set.get((from_region, to_region), self._default)


def links_of(book: AddressBook, link: Callable[[str, str], LinkQuality]) -> tuple[Link, ...]:
    """Pure. `link(from, to)` is how connections opened in one region towards another fare."""
    table = []
    for key, address in sorted(book.near_ends.items()):
        from_region, _, target = key.partition("|")
        to_region = region_of(book.octet, target)
        ports = book.ports.get(target, ())
        if to_region is not None and ports:
            table.append(Link(address, target, ports, link(from_region, to_region), f"{from_region}>{to_region}"))
    return tuple(table)
