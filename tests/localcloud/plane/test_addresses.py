"""Addresses are stable, disjoint, and rewritten only where they stand alone."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.localcloud.plane import addresses
from infra.localcloud.plane.addresses import HOSTS, OCTETS, AddressBook
from infra.localcloud.plane.claim import claim_octet, reclaim_octet
from infra.localcloud.plane.interface import REGIONS, AddressInUse, PlaneError

WEST, EUROPE = REGIONS[0], REGIONS[2]

operations = st.lists(
    st.tuples(
        st.sampled_from(["allocate", "free", "near"]),
        st.sampled_from(REGIONS),
        st.sampled_from([f"owner-{number}" for number in range(8)]),
    ),
    max_size=40,
)


def book_after(steps: list[tuple[str, str, str]]) -> AddressBook:
    book = AddressBook(70)
    for operation, region, owner in steps:
        held = book.owners.get(owner)
        if operation == "free":
            book = addresses.free(book, owner)
        elif operation == "allocate" and (held is None or addresses.region_of(70, held) == region):
            book, _ = addresses.allocate(book, region, owner)
        elif operation == "near" and held is not None:
            book, _ = addresses.near_end(book, region, held)
    return book


@given(operations)
def test_no_address_stands_for_two_things(steps: list[tuple[str, str, str]]) -> None:
    """Two processes on one address would be one machine."""
    book = book_after(steps)
    held = [*book.owners.values(), *book.near_ends.values()]
    assert len(held) == len(set(held))


@given(operations)
def test_a_near_end_leads_to_an_owner_of_another_region(steps: list[tuple[str, str, str]]) -> None:
    book = book_after(steps)
    for key, address in book.near_ends.items():
        region, _, target = key.partition("|")
        assert target in book.owners.values()
        assert addresses.region_of(70, address) == region
        assert addresses.region_of(70, target) != region


@given(operations)
def test_a_book_survives_its_file(steps: list[tuple[str, str, str]]) -> None:
    book = book_after(steps)
    assert msgspec.json.decode(msgspec.json.encode(book), type=AddressBook) == book


fragments = st.lists(
    st.sampled_from(
        ["127.70.1.2", "127.70.3.2", "127.70.1.25", "127.71.1.2", "127.70.0.1", "1", ".", " ", ":5432", "%2F", "a", "@", "/"]
    ),
    max_size=12,
).map("".join)


@given(operations, fragments, st.sampled_from(REGIONS))
def test_rewriting_twice_changes_nothing_more(steps: list[tuple[str, str, str]], text: str, region: str) -> None:
    """Variables pass through more than one hand."""
    book, once = addresses.seen_from(book_after(steps), region, text)
    again, twice = addresses.seen_from(book, region, once)
    assert twice == once
    assert again == book


def two_regions() -> AddressBook:
    book, _ = addresses.allocate(AddressBook(70), WEST, "database")
    return book


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("postgres://u:p@127.70.1.2:5432/db", "postgres://u:p@127.70.3.2:5432/db"),
        ("127.70.1.2", "127.70.3.2"),
        ("127.70.1.2,127.70.1.2", "127.70.3.2,127.70.3.2"),
        ("at 127.70.1.2.", "at 127.70.3.2."),
        ("http%3A%2F%2F127.70.1.2%3A8000", "http%3A%2F%2F127.70.3.2%3A8000"),
        ("127.70.1.20", "127.70.1.20"),
        ("127.70.1.255", "127.70.1.255"),
        ("1127.70.1.2", "1127.70.1.2"),
        ("7.127.70.1.2", "7.127.70.1.2"),
        ("127.70.1.2.7", "127.70.1.2.7"),
        ("a127.70.1.2", "a127.70.1.2"),
        ("127.70.1.2x", "127.70.1.2x"),
        ("127.70.1.2.example", "127.70.1.2.example"),
        ("127.71.1.2", "127.71.1.2"),
        ("127.70.0.1:4000", "127.70.0.1:4000"),
        ("127.70.1.3", "127.70.1.3"),
        ("", ""),
    ],
)
def test_only_whole_addresses_of_owners_are_rewritten(text: str, seen: str) -> None:
    assert addresses.seen_from(two_regions(), EUROPE, text)[1] == seen


def test_the_own_region_sees_the_address_itself() -> None:
    assert addresses.seen_from(two_regions(), WEST, "127.70.1.2:5432")[1] == "127.70.1.2:5432"


def test_an_owner_keeps_its_address() -> None:
    book, first = addresses.allocate(AddressBook(70), WEST, "service")
    again, second = addresses.allocate(book, WEST, "service")
    assert (second, again) == (first, book)


def test_a_freed_address_is_not_given_out_at_once() -> None:
    """A process that still remembers it must not meet a stranger there."""
    book, first = addresses.allocate(AddressBook(70), WEST, "old")
    _, second = addresses.allocate(addresses.free(book, "old"), WEST, "new")
    assert second != first


def test_what_leads_to_nobody_is_dropped() -> None:
    book = addresses.register_port(two_regions(), "127.70.1.2", 5432)
    kept, _ = addresses.near_end(book, EUROPE, "127.70.1.2")
    orphaned, _ = addresses.near_end(addresses.register_port(kept, "127.70.1.9", 8080), EUROPE, "127.70.1.9")
    cleaned = addresses.without_orphans(orphaned)
    assert (cleaned.near_ends, cleaned.ports) == (kept.near_ends, kept.ports)


def test_a_region_that_is_full_says_so() -> None:
    book = AddressBook(70)
    for number in range(len(HOSTS)):
        book, _ = addresses.allocate(book, WEST, f"owner-{number}")
    with pytest.raises(PlaneError, match="us-west2"):
        addresses.allocate(book, WEST, "one more")


def test_an_owner_does_not_move_to_another_region_silently() -> None:
    with pytest.raises(PlaneError, match="free it first"):
        addresses.allocate(two_regions(), EUROPE, "database")


def test_an_unknown_region_is_refused() -> None:
    with pytest.raises(PlaneError, match="us-west1"):
        addresses.allocate(AddressBook(70), "us-west1", "service")


def test_every_octet_is_probed_once() -> None:
    assert sorted(addresses.octets_to_probe(Path("/somewhere"))) == list(OCTETS)


def test_homes_whose_hashes_collide_get_networks_of_their_own() -> None:
    """There are 63 networks, so two of nine homes share a first choice more often than not."""
    candidates = list(reversed(OCTETS))
    first, one = claim_octet(candidates)
    with one:
        second, other = claim_octet(candidates)
        with other:
            assert first != second
            with pytest.raises(AddressInUse, match="is held by"):
                reclaim_octet(first)
