"""The key cache: last good set kept, unknown keys bounded, faults never a 401."""

from __future__ import annotations

import asyncio

import pytest

from service.errors import TokenRejected, Unavailable
from service.tokens.jwks import UNKNOWN_KEY_COOLDOWN_S, FetchFailed, Jwks
from tests.service import issuing
from tests.service.parts import Hands, outcome_of

pytestmark = pytest.mark.anyio


class Publisher:
    """What the issuer publishes, and how often it was asked."""

    def __init__(self) -> None:
        self.document = issuing.jwks(issuing.EC)
        self.is_away = False
        self.asked = 0

    async def fetch(self) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        if self.is_away:
            raise FetchFailed("away")
        return self.document


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def publisher() -> Publisher:
    return Publisher()


@pytest.fixture
def jwks(hands: Hands, publisher: Publisher) -> Jwks:
    return Jwks(publisher.fetch, hands.clock, lambda _: None)


async def test_unknown_key_is_fetched_once_for_all_who_ask(jwks: Jwks, publisher: Publisher):
    await asyncio.gather(*(jwks.find("ec-1") for _ in range(20)))
    assert publisher.asked == 1


async def test_flood_of_unknown_keys_costs_one_fetch_per_cooldown(jwks: Jwks, publisher: Publisher, hands: Hands):
    await jwks.refresh()
    for number in range(500):
        assert await outcome_of(jwks.find(f"made-up-{number}")) is TokenRejected
    assert publisher.asked == 1
    hands.forward(UNKNOWN_KEY_COOLDOWN_S)
    for number in range(500):
        assert await outcome_of(jwks.find(f"made-up-{number}")) is TokenRejected
    assert publisher.asked == 2


async def test_token_younger_than_our_copy_is_no_401_within_the_cooldown(jwks: Jwks, publisher: Publisher, hands: Hands):
    """An issuer came back with new keys just after somebody made up a key name: its good tokens must log nobody out."""
    await jwks.refresh()
    hands.forward(UNKNOWN_KEY_COOLDOWN_S)
    assert await outcome_of(jwks.find("made-up", issuing.NOW)) is TokenRejected
    publisher.document = issuing.jwks(issuing.EC, issuing.EC_NEXT)
    hands.forward(1)
    with pytest.raises(Unavailable) as said:
        await jwks.find("ec-2", issuing.NOW + UNKNOWN_KEY_COOLDOWN_S + 1)
    assert said.value.retry_after_s == UNKNOWN_KEY_COOLDOWN_S - 1
    assert publisher.asked == 2
    hands.forward(UNKNOWN_KEY_COOLDOWN_S - 1)
    assert (await jwks.find("ec-2", issuing.NOW + UNKNOWN_KEY_COOLDOWN_S + 1)).algorithm == "ES256"
    hands.forward(1)
    assert await outcome_of(jwks.find("made-up", issuing.NOW + UNKNOWN_KEY_COOLDOWN_S + 1)) is TokenRejected


async def test_new_key_is_found_after_the_cooldown(jwks: Jwks, publisher: Publisher, hands: Hands):
    await jwks.refresh()
    publisher.document = issuing.jwks(issuing.EC, issuing.EC_NEXT)
    hands.forward(UNKNOWN_KEY_COOLDOWN_S)
    assert (await jwks.find("ec-2")).algorithm == "ES256"


@pytest.mark.parametrize(
    "document", [None, b"", b"<html>", b'{"keys": []}', b'{"keys": [{"kty": "oct", "kid": "ec-1", "k": "AA"}]}']
)
async def test_failed_refresh_keeps_the_last_good_set(jwks: Jwks, publisher: Publisher, document: bytes | None):
    """GHSA-fhv5-28vv-h8m8: a failed fetch must not wipe the keys."""
    await jwks.refresh()
    publisher.is_away = document is None
    publisher.document = document or b""
    await jwks.refresh()
    assert (await jwks.find("ec-1")).algorithm == "ES256"


async def test_no_keys_yet_is_our_fault_not_the_tokens(jwks: Jwks, publisher: Publisher):
    publisher.is_away = True
    assert await outcome_of(jwks.find("ec-1")) is Unavailable
    assert not jwks.is_loaded
