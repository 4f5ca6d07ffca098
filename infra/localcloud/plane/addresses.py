"""Which loopback address stands for which machine: pure allocation and the split-horizon rewriting of texts.

Theory of operation. A home owns one octet A, and so the network 127.A.0.0/16. Region number R (1..4) is 127.A.R.0/24; in
each region H = 1 is the region's own (its links listen elsewhere), H = 2..254 are handed out. Two kinds of thing get an
address: an *owner* (a replica, a database, a domain: whatever the control side named), and a *near end*: the place in
region X where region Y's address is reached through the link X -> Y. A text shown to a process in region X has every
owner's address of another region replaced by its near end in X, as a resolver with two views would do. The rewriting is
idempotent, because near ends lie in the region's own subnet, which is never rewritten.

Everything here is a value: an operation takes a Book and returns the next one. Nothing binds a socket (see claim.py).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from infra.localcloud.plane.interface import REGIONS, PlaneError

OCTETS = range(64, 127)
HOSTS = range(2, 255)  # .0 and .255 read as network and broadcast; .1 is the region's own


class AddressBook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that must outlive the daemon so that an address, once shown to a variable, stays true."""

    octet: int
    owners: dict[str, str] = {}  # owner -> address
    near_ends: dict[str, str] = {}  # "<region>|<address of another region>" -> address in <region>
    ports: dict[str, tuple[int, ...]] = {}  # address -> ports that something serves there
    newest: dict[str, int] = {}  # region -> H handed out last

    def taken(self) -> set[str]:
        return set(self.owners.values()) | set(self.near_ends.values())


def octets_to_probe(home: Path) -> list[int]:
    """Every octet once, starting at one that the home's path decides, so that a home tends to keep its own."""
    first = int.from_bytes(hashlib.sha256(str(home).encode()).digest()[:4], "big") % len(OCTETS)
    return [OCTETS[(first + step) % len(OCTETS)] for step in range(len(OCTETS))]


def region_number(region: str) -> int:
    """1..4. PlaneError for a region that does not exist."""
    try:
        return REGIONS.index(region) + 1
    except ValueError:
        raise PlaneError(f"region {region!r}: expected one of {', '.join(REGIONS)}") from None


def region_of(octet: int, address: str) -> str | None:
    """The region whose subnet holds `address`; None for anything else, also for the daemon's own address."""
    parts = address.split(".")
    if len(parts) != 4 or parts[:2] != ["127", str(octet)] or not all(part.isdecimal() for part in parts):
        return None
    number = int(parts[2])
    return REGIONS[number - 1] if 1 <= number <= len(REGIONS) else None


def allocate(book: AddressBook, region: str, owner: str) -> tuple[AddressBook, str]:
    """The owner's address in `region`, the same one each time. PlaneError when it has one in another region."""
    number = region_number(region)
    known = book.owners.get(owner)
    if known is not None:
        if region_of(book.octet, known) != region:
            raise PlaneError(f"owner {owner!r} already has {known}, which is not in {region}: free it first")
        return book, known
    address, newest = _next_free(book, number, region)
    return msgspec.structs.replace(book, owners={**book.owners, owner: address}, newest=newest), address


def near_end(book: AddressBook, region: str, target: str) -> tuple[AddressBook, str]:
    """Where `region` reaches `target`: the address itself when it is in the same region."""
    if region_of(book.octet, target) in (region, None):
        return book, target
    key = f"{region}|{target}"
    known = book.near_ends.get(key)
    if known is not None:
        return book, known
    address, newest = _next_free(book, region_number(region), region)
    return msgspec.structs.replace(book, near_ends={**book.near_ends, key: address}, newest=newest), address


def free(book: AddressBook, owner: str) -> AddressBook:
    """Without the owner, the ports known for it, and every near end that led to it."""
    address = book.owners.get(owner)
    if address is None:
        return book
    return msgspec.structs.replace(
        book,
        owners={name: held for name, held in book.owners.items() if name != owner},
        near_ends={key: held for key, held in book.near_ends.items() if key.partition("|")[2] != address},
        ports={served: ports for served, ports in book.ports.items() if served != address},
    )


def without_orphans(book: AddressBook) -> AddressBook:
    """Without near ends and ports of addresses that nobody owns any more: a route may have named one after it was freed."""
    owned = set(book.owners.values())
    return msgspec.structs.replace(
        book,
        near_ends={key: held for key, held in book.near_ends.items() if key.partition("|")[2] in owned},
        ports={served: ports for served, ports in book.ports.items() if served in owned},
    )


def register_port(book: AddressBook, address: str, port: int) -> AddressBook:
    """Remembers that something serves `address`:`port`, so that near ends of it relay that port."""
    known = book.ports.get(address, ())
    if port in known:
        return book
    return msgspec.structs.replace(book, ports={**book.ports, address: (*known, port)})


def seen_from(book: AddressBook, region: str, text: str) -> tuple[AddressBook, str]:
    """`text` with every owner's address of another region replaced by its near end; see the theory above."""
    region_number(region)
    owned = set(book.owners.values())
    replaced: dict[str, str] = {}
    for address in dict.fromkeys(_pattern(book.octet).findall(text)):
        if address in owned:
            book, replaced[address] = near_end(book, region, address)
    if not replaced:
        return book, text
    return book, _pattern(book.octet).sub(lambda match: _replacement(match, replaced), text)


def _replacement(match: re.Match[str], replaced: Mapping[str, str]) -> str:
    return replaced.get(match[0], match[0])


def _pattern(octet: int) -> re.Pattern[str]:
    """An address of this home standing alone: not inside a longer number, name or dotted quad.

    A percent-encoded character before it (`http%3A%2F%2F127...`) ends in a hexadecimal digit and is still a boundary.
    """
    return re.compile(rf"(?:(?<![\w.])|(?<=%[0-9A-Fa-f]{{2}}))127\.{octet}\.\d{{1,3}}\.\d{{1,3}}(?!\w|\.\w)", re.ASCII)


def _next_free(book: AddressBook, number: int, region: str) -> tuple[str, dict[str, int]]:
    """Round robin rather than lowest first: an address just freed may still be remembered by a running process."""
    taken = book.taken()
    newest = book.newest.get(region, HOSTS[0] - 1)
    for step in range(1, len(HOSTS) + 1):
        host = HOSTS[(newest - HOSTS[0] + step) % len(HOSTS)]
        address = f"127.{book.octet}.{number}.{host}"
        if address not in taken:
            return address, {**book.newest, region: host}
    raise PlaneError(f"region {region}: all {len(HOSTS)} addresses are taken; destroy a stack to free some")
