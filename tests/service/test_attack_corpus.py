"""The list of known attacks on verifiers and their proxies, and where each of them is a test; a line without one fails here.

Two of the list live here, because they are about nothing else: caches that give one token's answer to another.
"""

from __future__ import annotations

import importlib

import pytest
from hypothesis import given
from hypothesis import strategies as some

from service.cache.entries import Sealer
from tests.service import issuing, test_token_attacks
from tests.service.parts import CACHE_KEY, Parts

pytestmark = pytest.mark.anyio

# Attack: (module in tests/service, test, the case in its table where it has one).
CORPUS: dict[str, tuple[str, str, str]] = {
    "alg none": ("test_token_attacks", "test_attack_is_refused", "alg none, no signature"),
    "algorithm confusion": ("test_token_attacks", "test_attack_is_refused", "alg HS256 over the RSA public key"),
    "algorithm confusion with a secret set": ("test_verification", "test_secret_opens_no_door_beside_its_own", ""),
    "JWK JSON as HMAC secret, GHSA-xgmm-8j9v-c9wx": (
        "test_token_attacks",
        "test_attack_is_refused",
        "alg HS256 over the public JWK (GHSA-xgmm-8j9v-c9wx)",
    ),
    "a public key given as the secret": ("test_settings", "test_mistake_is_one_line_that_names_the_variable", ""),
    "PyJWK allow-list bypass, CVE-2026-48523": (
        "test_token_attacks",
        "test_unusable_key_never_enters",
        "for an algorithm that we do not allow (CVE-2026-48523)",
    ),
    "embedded jwk, CVE-2026-27962": ("test_token_attacks", "test_attack_is_refused", "embedded jwk (CVE-2026-27962)"),
    "jku": ("test_token_attacks", "test_attack_is_refused", "jku"),
    "x5u": ("test_token_attacks", "test_attack_is_refused", "x5u"),
    "kid as a path": ("test_token_attacks", "test_attack_is_refused", "kid is a path"),
    "kid as SQL": ("test_token_attacks", "test_attack_is_refused", "kid is SQL"),
    "flood of kids": ("test_jwks", "test_flood_of_unknown_keys_costs_one_fetch_per_cooldown", ""),
    "crit, CVE-2026-32597": ("test_token_attacks", "test_attack_is_refused", "crit null (CVE-2026-32597)"),
    "crit, CVE-2025-59420": ("test_token_attacks", "test_attack_is_refused", "crit that we do not know (CVE-2025-59420)"),
    "JWKS from file://, GHSA-993g-76c3-p5m4": ("test_auth_api", "test_key_document_is_fetched_from_nowhere_else", ""),
    "failed fetch wiping the JWKS, GHSA-fhv5-28vv-h8m8": ("test_jwks", "test_failed_refresh_keeps_the_last_good_set", ""),
    "b64 false, GHSA-w7vc-732c-9m39": ("test_token_attacks", "test_attack_is_refused", "b64 false (GHSA-w7vc-732c-9m39)"),
    "oversized token": ("test_token_attacks", "test_attack_is_refused", "oversize"),
    "partial iss, CVE-2024-53861": ("test_token_attacks", "test_attack_is_refused", "iss is a prefix of ours (CVE-2024-53861)"),
    "issuer confusion, CVE-2026-31813": ("test_token_attacks", "test_attack_is_refused", "iss of another project"),
    "cache confusion, fast-jwt CVE-2026-35039": ("test_attack_corpus", "test_tokens_alike_are_never_taken_for_each_other", ""),
    "cache confusion, Oathkeeper GHSA-qvp4-rpmr-xwrr": (
        "test_attack_corpus",
        "test_claims_of_a_remembered_token_are_checked_again",
        "",
    ),
    "padded twin": ("test_token_attacks", "test_attack_is_refused", "signature with padding"),
    "(r, n-s) twin": ("test_cache_laws", "test_law_2_twin_signature_is_revoked_with_its_original", ""),
    "X_Forwarded_User, CVE-2025-64484": ("test_front", "test_what_the_caller_says_of_itself_is_neither_believed_nor_echoed", ""),
    "X-Forwarded-Uri, CVE-2026-40575": ("test_front", "test_what_the_caller_says_of_itself_is_neither_believed_nor_echoed", ""),
    "Connection: stripping, CVE-2025-48865": ("test_drop_in", "test_callers_word_about_itself_is_replaced", ""),
    "Host poisoning, CVE-2026-48710": ("test_front", "test_nobody_is_sent_elsewhere", ""),
    "X-Forwarded-Host, GHSA-3529-5m8x-rpv3": ("test_front", "test_nobody_is_sent_elsewhere", ""),
}


@pytest.mark.parametrize(("module", "test", "case"), CORPUS.values(), ids=CORPUS.keys())
def test_attack_has_its_test(module: str, test: str, case: str):
    found = importlib.import_module(f"tests.service.{module}")
    assert callable(getattr(found, test))
    assert not case or case in test_token_attacks.ATTACKS or case in test_token_attacks.UNUSABLE_KEYS


@given(some.binary(min_size=1, max_size=200), some.binary(min_size=1, max_size=200))
def test_names_in_the_cache_are_as_different_as_tokens(one: bytes, other: bytes):
    """fast-jwt's cacheKeyBuilder made one name of several tokens; ours is a hash of all of it."""
    name = Sealer(CACHE_KEY).name
    assert (name(one) == name(other)) is (one == other)


async def test_tokens_alike_are_never_taken_for_each_other():
    """Same user, same session, same second, another role."""
    parts = Parts()
    user, admin = issuing.token(role="authenticated"), issuing.token(role="service_role")
    for _ in range(2):
        for token, role in ((user, "authenticated"), (admin, "service_role")):
            entry, _tier = await parts.authenticator.authenticate(token)
            assert entry.identity.role == role


async def test_claims_of_a_remembered_token_are_checked_again():
    """Oathkeeper answered from its cache for another issuer's rules; here a record of another policy is worth nothing."""
    parts = Parts()
    token = issuing.token(exp=issuing.NOW + 30)
    assert await parts.verify(token) == "miss"
    other = Parts(parts.hands, parts.shared.sealed)
    other.authenticator._policy = type(other.authenticator._policy)(issuing.ISSUER, "another audience")
    with pytest.raises(Exception, match="audience"):
        await other.verify(token)
    parts.hands.forward(30)
    with pytest.raises(Exception, match="expired"):
        await parts.verify(token)
