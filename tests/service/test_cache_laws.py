"""The five laws of service/cache/authenticator.py, and what follows from them."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.cache.entries import TOKEN_LIFE_MAX_S, Record, good_until
from service.errors import TokenRejected, Unavailable
from service.tokens.identity import Identity, IssuerUser
from tests.service import issuing
from tests.service.parts import Hands, Parts, outcome_of

pytestmark = pytest.mark.anyio
TOKEN = issuing.token()


@pytest.fixture
def parts() -> Parts:
    return Parts()


async def test_second_look_up_is_answered_from_memory(parts: Parts):
    assert await parts.verify(TOKEN) == "miss"
    assert await parts.verify(TOKEN) == "l1"
    assert parts.issuer.asked == 1


async def test_another_replica_is_answered_from_the_shared_tier(parts: Parts):
    await parts.verify(TOKEN)
    neighbour = Parts(parts.hands, parts.shared.sealed)
    await neighbour.jwks.refresh()
    assert await neighbour.verify(TOKEN) == "l2"
    assert await neighbour.verify(TOKEN) == "l1"
    assert neighbour.issuer.asked == 0


# Law 1: never past exp, never longer than the TTL.


@settings(max_examples=60, deadline=None)
@given(
    life_s=st.integers(1, 7200),
    ttl_s=st.integers(1, 3600),
    steps=st.lists(st.floats(0.0, 1500.0), min_size=1, max_size=12),
)
def test_law_1_nothing_is_served_past_exp_or_ttl(life_s: int, ttl_s: int, steps: list[float]):
    """Random lives and jumps of the clock over two replicas that share a tier; a confirmation's age is never above the TTL."""

    async def live() -> None:
        hands = Hands()
        first = Parts(hands, ttl_s=ttl_s)
        second = Parts(hands, first.shared.sealed, ttl_s=ttl_s)
        for part in (first, second):
            await part.jwks.refresh()
        token = issuing.token(exp=issuing.NOW + life_s)
        confirmed_s = 0.0
        for number, step in enumerate(steps):
            replica = (first, second)[number % 2]
            asked = replica.issuer.asked
            outcome = await outcome_of(replica.verify(token))
            if hands.passed_s >= life_s:
                assert outcome is TokenRejected
                assert replica.authenticator.cached(token) is None
            elif replica.issuer.asked > asked:
                confirmed_s = hands.passed_s
            else:
                assert hands.passed_s - confirmed_s < ttl_s
            hands.forward(step)

    asyncio.run(live())


@given(issued_s=st.floats(-1e6, 1e6), life_s=st.floats(0, 1e7), confirmed_s=st.floats(-1e6, 1e6), ttl_s=st.floats(1, 3600))
def test_law_1_as_arithmetic(issued_s: float, life_s: float, confirmed_s: float, ttl_s: float):
    identity = Identity("u", "s", "r", "e", issued_s, issued_s + life_s, "k")
    until = good_until(identity, confirmed_s, ttl_s)
    assert until <= identity.expires_at
    assert until <= confirmed_s + ttl_s
    assert until <= issued_s + TOKEN_LIFE_MAX_S


async def test_token_that_expires_during_the_fetch_is_refused(parts: Parts):
    token = issuing.token(exp=issuing.NOW + 5)
    await parts.jwks.refresh()
    parts.issuer.during = lambda: parts.hands.forward(6)
    assert await outcome_of(parts.verify(token)) is TokenRejected


async def test_token_older_than_any_revocation_is_kept_is_asked_for_each_time(parts: Parts):
    """Revocations are kept for TOKEN_LIFE_MAX_S after they were made; a token past that age could outlive one."""
    token = issuing.token(iat=issuing.NOW - TOKEN_LIFE_MAX_S, exp=issuing.NOW + 3600)
    assert [await parts.verify(token) for _ in range(2)] == ["miss", "miss"]


# Law 2: revocation wins, whenever it comes.


async def test_law_2_revoked_session_is_refused_from_memory(parts: Parts):
    await parts.verify(TOKEN)
    parts.revoke_session()
    assert parts.authenticator.cached(TOKEN) is None
    with pytest.raises(TokenRejected) as caught:
        await parts.verify(TOKEN)
    assert caught.value.code == "session_revoked"
    assert parts.issuer.asked == 1


async def test_law_2_revoked_session_is_refused_from_the_shared_tier(parts: Parts):
    await parts.verify(TOKEN)
    neighbour = Parts(parts.hands, parts.shared.sealed)
    neighbour.revoke_session()
    assert await outcome_of(neighbour.verify(TOKEN)) is TokenRejected


async def test_law_2_twin_signature_is_revoked_with_its_original(parts: Parts):
    """Revocation by token hash would miss the twin (see tokens/verification.py)."""
    twin = issuing.twin(TOKEN)
    await parts.verify(TOKEN)
    await parts.verify(twin)
    parts.revoke_session()
    assert await outcome_of(parts.verify(twin)) is TokenRejected


@pytest.mark.parametrize("by", ["session", "user"])
async def test_law_2_revocation_during_the_fetch_wins(parts: Parts, by: str):
    """The fill/revoke race: the issuer said yes, then the session ended, then the answer arrived."""
    await parts.jwks.refresh()
    parts.issuer.during = parts.revoke_session if by == "session" else parts.revoke_user
    token = issuing.token(iat=issuing.NOW)
    outcome = await outcome_of(parts.verify(token))
    assert outcome in (TokenRejected, Unavailable)
    assert parts.authenticator.cached(token) is None
    assert parts.shared.sealed == {}


async def test_law_2_log_in_right_after_a_global_log_out_works(parts: Parts):
    """`iat` has whole seconds: the new token is as old as the watermark, and must not be taken for one of the ended ones."""
    ended = issuing.token(session_id=issuing.OTHER_SESSION, iat=issuing.NOW)
    await parts.verify(ended)
    parts.revoke_user()
    fresh = issuing.token(iat=issuing.NOW)
    parts.hands.forward(0.1)
    assert await parts.verify(fresh) == "miss"
    assert await parts.verify(fresh) == "l1"
    parts.issuer.fault = TokenRejected("session_not_found", "gone")
    assert await outcome_of(parts.verify(ended)) is TokenRejected


async def test_law_2_log_out_others_spares_this_session(parts: Parts):
    mine, other = issuing.token(), issuing.token(session_id=issuing.OTHER_SESSION)
    for token in (mine, other):
        await parts.verify(token)
    parts.revoke_user(except_session=issuing.SESSION)
    assert await parts.verify(mine) == "l1"
    assert await outcome_of(parts.verify(other)) is TokenRejected


# Law 3: a silent feed is no evidence.


async def test_law_3_silent_feed_makes_the_issuer_confirm_again(parts: Parts):
    await parts.verify(TOKEN)
    parts.feed.is_alive = False
    parts.hands.forward(1.9)
    assert await parts.verify(TOKEN) == "l1"
    parts.hands.forward(0.2)
    assert await parts.verify(TOKEN) == "miss"
    assert await parts.verify(TOKEN) == "l1", "the issuer's own word is evidence for as long as the feed's would be"


async def test_law_3_silent_feed_and_silent_issuer_answer_503(parts: Parts):
    await parts.verify(TOKEN)
    parts.feed.is_alive = False
    parts.issuer.fault = Unavailable("upstream", "away")
    parts.hands.forward(2.1)
    assert await outcome_of(parts.verify(TOKEN)) is Unavailable
    parts.feed.is_alive = True
    assert await parts.verify(TOKEN) == "l1"


async def test_law_3_shared_tier_is_not_asked_while_the_feed_is_silent(parts: Parts):
    await parts.verify(TOKEN)
    neighbour = Parts(parts.hands, parts.shared.sealed)
    neighbour.feed.is_alive = False
    parts.hands.forward(2.1)
    assert await neighbour.verify(TOKEN) == "miss"


# Law 4: a record is believed only for its own token.


async def test_law_4_damaged_record_never_authenticates(parts: Parts):
    await parts.verify(TOKEN)
    (name, sealed), *_ = parts.shared.sealed.items()
    for place in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[place] ^= 1
        assert parts.sealer.open(name, bytes(damaged)) is None
        assert parts.sealer.open(name, sealed[:place]) is None


async def test_law_4_record_of_somebody_else_is_a_miss(parts: Parts):
    """Whole and authentic, but under another token's name, as after a mix-up of keys."""
    other = issuing.token(sub=issuing.OTHER_USER, session_id=issuing.OTHER_SESSION)
    parts.issuer.user_id = issuing.OTHER_USER
    await parts.verify(other)
    parts.issuer.user_id = issuing.USER
    (record_sealed,) = parts.shared.sealed.values()
    neighbour = Parts(parts.hands)
    neighbour.shared.sealed[neighbour.sealer.name(TOKEN)] = record_sealed
    entry, tier = await neighbour.authenticator.authenticate(TOKEN)
    assert (tier, entry.identity.user_id) == ("miss", issuing.USER)


async def test_law_4_even_a_sealed_record_must_name_the_tokens_subject(parts: Parts):
    """A bug of ours that sealed the wrong record under this name is caught by the second check."""
    wrong = Record(
        Identity(issuing.OTHER_USER, issuing.SESSION, "", "", issuing.NOW, issuing.NOW + 60, "ec-1"), None, issuing.NOW + 60
    )
    await parts.jwks.refresh()
    parts.shared.put_soon(parts.sealer.name(TOKEN), wrong)
    entry, tier = await parts.authenticator.authenticate(TOKEN)
    assert (tier, entry.identity.user_id) == ("miss", issuing.USER)
    assert parts.counters.l2_corrupt == 1


async def test_law_4_issuer_that_answers_for_another_user_is_not_believed(parts: Parts):
    parts.issuer.user_id = issuing.OTHER_USER
    assert await outcome_of(parts.verify(TOKEN)) is Unavailable
    assert parts.authenticator.cached(TOKEN) is None


async def test_law_4_new_token_is_not_remembered_with_another_user(parts: Parts):
    """As after a log-in whose answer was mixed up on its way."""
    mixed_up = issuing.token(jti="mixed up")
    other = IssuerUser(issuing.OTHER_USER, b"{}")
    assert await outcome_of(parts.authenticator.warm(mixed_up, other, parts.clock.monotonic())) is Unavailable
    assert parts.authenticator.cached(mixed_up) is None
    mine = issuing.token(jti="mine")
    await parts.authenticator.warm(mine, IssuerUser(issuing.USER, b"{}"), parts.clock.monotonic())
    assert await parts.verify(mine) == "l1"


# Law 5: faults are 503.


async def test_law_5_silent_issuer_is_no_rejection(parts: Parts):
    parts.issuer.fault = Unavailable("upstream", "away")
    assert await outcome_of(parts.verify(TOKEN)) is Unavailable
    parts.issuer.fault = None
    assert await parts.verify(TOKEN) == "miss"


async def test_cached_token_outlives_the_issuer_within_its_bounds(parts: Parts):
    await parts.verify(TOKEN)
    parts.issuer.fault = Unavailable("upstream", "away")
    parts.hands.forward(299)
    assert await parts.verify(TOKEN) == "l1"
    parts.hands.forward(1)
    assert await outcome_of(parts.verify(TOKEN)) is Unavailable


async def test_definite_refusal_is_remembered_for_a_moment_and_dropped_everywhere(parts: Parts):
    await parts.verify(TOKEN)
    parts.hands.forward(301)
    parts.issuer.fault = TokenRejected("session_not_found", "gone")
    for _ in range(3):
        assert await outcome_of(parts.verify(TOKEN)) is TokenRejected
    assert parts.issuer.asked == 2
    assert parts.shared.sealed == {}
    parts.hands.forward(6)
    assert await outcome_of(parts.verify(TOKEN)) is TokenRejected
    assert parts.issuer.asked == 3


async def test_hundred_callers_share_one_question(parts: Parts):
    await parts.jwks.refresh()
    parts.issuer.gate = asyncio.Event()
    callers = [asyncio.create_task(parts.verify(TOKEN)) for _ in range(100)]
    await parts.issuer.was_asked.wait()
    callers[0].cancel()
    await asyncio.sleep(0)
    parts.issuer.gate.set()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert parts.issuer.asked == 1
    assert isinstance(outcomes[0], asyncio.CancelledError), "the one who hung up"
    assert outcomes[1:] == ["miss"] * 99


async def test_callers_who_share_a_flight_are_counted_one_by_one(parts: Parts):
    """The gate holds the counters against the X-Cache headers it saw."""
    await parts.verify(TOKEN)
    neighbour = Parts(parts.hands, parts.shared.sealed)
    await neighbour.jwks.refresh()
    assert await asyncio.gather(*(neighbour.verify(TOKEN) for _ in range(10))) == ["l2"] * 10
    assert (neighbour.counters.l1_misses, neighbour.counters.l2_hits) == (10, 10)


async def test_withdrawn_key_takes_its_tokens_with_it(parts: Parts):
    await parts.verify(TOKEN)
    parts.key_document = issuing.jwks(issuing.EC_NEXT)
    await parts.jwks.refresh()
    assert parts.authenticator.cached(TOKEN) is None
    assert await outcome_of(parts.verify(TOKEN)) is TokenRejected


async def test_key_replaced_under_its_own_name_takes_its_tokens_with_it(parts: Parts):
    """A leaked key is replaced; whoever keeps its `kid` must not keep its tokens alive, in either tier."""
    await parts.verify(TOKEN)
    other = issuing.rsa_token(session_id=issuing.OTHER_SESSION)
    await parts.verify(other)
    parts.key_document = issuing.jwks(issuing.STRANGER, issuing.RSA)
    await parts.jwks.refresh()
    assert parts.authenticator.cached(TOKEN) is None
    assert await parts.verify(other) == "l1", "what another key verified stays"
    neighbour = Parts(parts.hands, parts.shared.sealed)
    neighbour.key_document = parts.key_document
    for replica in (parts, neighbour):
        assert await outcome_of(replica.verify(TOKEN)) is TokenRejected
    assert await neighbour.verify(issuing.token(key=issuing.STRANGER)) == "miss"


async def test_key_replaced_during_the_fetch_leaves_nothing_behind(parts: Parts):
    """The signature was checked with the old key, then the key went, then the issuer's answer arrived."""
    await parts.jwks.refresh()
    parts.issuer.gate = asyncio.Event()
    asking = asyncio.create_task(parts.verify(TOKEN))
    await parts.issuer.was_asked.wait()
    parts.key_document = issuing.jwks(issuing.STRANGER)
    await parts.jwks.refresh()
    parts.issuer.gate.set()
    await asking
    assert parts.authenticator.cached(TOKEN) is None
    assert parts.shared.sealed == {}


async def test_memory_is_bounded_by_entries(parts: Parts):
    for number in range(150):
        await parts.verify(issuing.token(jti=str(number)))
    assert len(parts.authenticator) == 100


async def test_answer_that_was_asked_for_before_a_refusal_brings_nothing_back():
    """Another question learned meanwhile that the session is dead; nobody else may tell us of it."""
    parts, token = Parts(), issuing.token()
    parts.issuer.gate = asyncio.Event()
    early = asyncio.create_task(parts.authenticator.authenticate(token))
    await parts.issuer.was_asked.wait()
    parts.hands.forward(0.1)
    parts.authenticator.forget(token)
    parts.issuer.gate.set()
    assert (await early)[1] == "miss"
    assert parts.authenticator.cached(token) is None
    assert not parts.shared.sealed
    parts.hands.forward(0.1)
    assert await parts.verify(token) == "miss"
    assert await parts.verify(token) == "l1", "asked for after it"
