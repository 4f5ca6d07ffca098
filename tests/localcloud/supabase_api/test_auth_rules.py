"""The parts of Auth without a database: codes, redirects, challenges, configuration."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.localcloud.supabase_api import auth_config, one_time, pkce, redirects, refresh, totp
from infra.localcloud.supabase_api.auth_config import AuthConfigInvalid
from infra.localcloud.supabase_api.errors import ApiError
from infra.localcloud.supabase_api.mailer import Mail, composed

SECRET = base64.b32encode(b"12345678901234567890").decode()  # RFC 6238, appendix B
SITE = "https://app.example.com/start"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now_s", "code"), [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")]
)
def test_codes_are_those_of_the_rfc(now_s: int, code: str):
    assert totp.is_valid(SECRET, code, now_s)


def test_clock_may_be_one_step_off_and_no_more():
    then = [totp.is_valid(SECRET, "081804", 1111111109 + off * 30) for off in (-2, -1, 0, 1, 2)]
    assert then == [False, True, True, True, False]
    assert not totp.is_valid(SECRET, chr(0xFF12) * 6, 59)  # digits, but not those


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("", False),
        ("https://app.example.com/any?x=1", True),
        ("http://app.example.com/", False),
        ("https://app.example.com:444/", False),
        ("https://evil.example.com/", False),
        ("http://127.0.0.1:5000/", True),  # any port of this machine
        ("http://10.0.0.1/", False),
        ("http://2130706433/", False),
        ("https://one.preview.example.com/a", True),
        ("https://one.two.preview.example.com/a", False),
        ("https://deep.example.org/a/b/c", True),
        ("myapp://login", True),
        ("https://ev[il.example.com/", False),
        ("https://user:word@app.example.com/", True),
        ("https://evil.org\\@app.example.com/", False),  # to a browser the host is evil.org
        ("https://evil\\@one.preview.example.com/a", False),
        ("https://app.example.com/\nLocation: x", False),
        (" https://app.example.com/", False),
        ("https://app.example.com/a b", True),
    ],
)
def test_link_may_lead_to_the_site_and_where_it_says(url: str, is_allowed: bool):
    allow_list = "https://*.preview.example.com/*, https://deep.example.org/**,myapp://*"
    assert redirects.is_allowed(url, SITE, allow_list) is is_allowed
    assert redirects.chosen([url], SITE, allow_list) == (url if is_allowed else SITE)


@given(st.text(alphabet="https:/.example.com@\\#?%0129", max_size=40))
def test_nothing_but_the_site_gets_through_an_empty_list(url: str):
    """Whatever is accepted has the site's own scheme, host and port, or is this machine."""
    chosen = redirects.chosen([url], SITE, "")
    if chosen != SITE:
        host = redirects.urlsplit(chosen).hostname
        assert host in ("app.example.com", "0", "127.0.0.1") or (host or "").startswith("127.")


def test_query_of_a_redirect_keeps_what_was_there():
    assert redirects.with_query("https://a.example/x?b=1&code=old", {"code": "n w"}) == "https://a.example/x?b=1&code=n+w"


@pytest.mark.parametrize(
    ("method", "challenge"), [("s256", ""), ("", "x" * 43), ("s256", "x" * 42), ("s256", "x" * 129), ("s256", "x" * 42 + "!")]
)
def test_wrong_challenge_is_refused(method: str, challenge: str):
    with pytest.raises(ApiError):
        pkce.check_challenge(method, challenge)


@given(st.text(alphabet="abcXYZ019-._~", min_size=43, max_size=128), st.text(alphabet="abcXYZ019-._~", min_size=43, max_size=128))
def test_only_its_own_verifier_proves_a_challenge(verifier: str, other: str):
    assert pkce.is_proven("plain", verifier, verifier)
    assert pkce.is_proven("plain", verifier, other) is (verifier == other)


def test_challenge_of_the_rfc():
    """RFC 7636, appendix B."""
    challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert pkce.is_proven("s256", challenge, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")


@pytest.mark.parametrize("length", [6, 8, 10])
def test_code_has_its_length_and_its_hash(length: int):
    code = one_time.new_code("a@example.com", length, is_pkce=True)
    assert len(code.otp) == length
    assert code.hash == "pkce_" + one_time.hash_of("a@example.com", code.otp)


def test_mail_may_be_asked_for_again_after_the_interval():
    one_time.check_frequency(None, lambda sent: sent, 60)
    one_time.check_frequency(NOW, lambda sent: sent + timedelta(seconds=60), 60)
    with pytest.raises(ApiError, match="after 59 seconds"):
        one_time.check_frequency(NOW, lambda sent: sent + timedelta(seconds=1), 60)


def test_mail_shows_its_link_and_its_code():
    message = composed(Mail("a@example.com", "reauthentication", "123456", "")).as_string()
    assert "Subject: 123456 is your verification code" in message
    assert "href" not in message
    link = composed(Mail("a@example.com", "signup", "123456", "http://x/verify?token=1&type=signup")).get_content()
    assert 'href="http://x/verify?token=1&amp;type=signup"' in link


@pytest.mark.parametrize("text", ['{"jwt_exp": 0}', '{"jwt_exp": "1"}', '{"hook_uri": "x"}', "[]", "{"])
def test_wrong_configuration_is_refused(text: str):
    with pytest.raises(AuthConfigInvalid):
        auth_config.parsed(text)


def test_without_rotation_a_replayed_token_is_refused_and_its_session_stays():
    old = refresh.RefreshToken(1, "a", "", True, NOW)
    rules = refresh.Rules(timedelta(seconds=1), has_rotation=False)
    assert refresh.judge(old, None, NOW + timedelta(seconds=2), rules) == refresh.Refuse()
    assert refresh.judge(old, None, NOW + timedelta(seconds=2)) == refresh.Exchange()
