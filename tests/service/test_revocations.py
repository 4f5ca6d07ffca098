"""The revocation set as a pure thing: order, repetition, watermarks, expiry, bounds."""

from __future__ import annotations

import itertools

import pytest

from service.revocation import records
from service.revocation.records import MARKS_MAX, Revocation, Revocations, Standing
from service.tokens.identity import Identity

NEVER = float("-inf")


def identity(user: str = "u", session: str = "s", issued_at: float = 100.0) -> Identity:
    return Identity(user, session, "", "", issued_at, issued_at + 3600, "k")


def line(
    kind: str, subject: str, watermark: float = 100.0, sequence: int = 1, spared: str | None = None, until: float = 1e9
) -> Revocation:
    return Revocation(sequence, kind, subject, watermark, until, spared)  # type: ignore[arg-type]


WATERMARKS = [
    # issued at, confirmed at (monotonic; the revocation arrived at 50), expected
    (97.0, 60.0, Standing.REVOKED),
    (98.0, 60.0, Standing.REVOKED),
    (99.0, 40.0, Standing.DOUBTFUL),
    (99.0, 60.0, Standing.GOOD),
    (100.0, 50.0, Standing.DOUBTFUL),
    (100.0, 50.1, Standing.GOOD),
    (102.0, NEVER, Standing.DOUBTFUL),
    (103.0, NEVER, Standing.DOUBTFUL),  # an issuer whose clock runs ahead stamped it so
    (103.0, 60.0, Standing.GOOD),
]


@pytest.mark.parametrize(("issued_at", "confirmed_at", "expected"), WATERMARKS)
def test_watermark(issued_at: float, confirmed_at: float, expected: Standing):
    revocations = Revocations()
    revocations.apply(line("user", "u", 100.0), 50.0)
    assert revocations.standing(identity(issued_at=issued_at), confirmed_at) is expected
    assert revocations.standing(identity("somebody else", issued_at=issued_at), confirmed_at) is Standing.GOOD


def test_order_and_repetition_do_not_matter():
    """Notices, polls and our own writes bring the same lines in any order, some twice."""
    lines = [
        line("session", "s1", sequence=1),
        line("user", "u", 100.0, sequence=2, spared="s2"),
        line("user", "u", 90.0, sequence=3),
        line("user", "u", 80.0, sequence=4, spared="s2"),
    ]
    tokens = [identity(session=session, issued_at=at) for session in ("s1", "s2", "s3") for at in (70.0, 85.0, 95.0, 120.0)]
    outcomes = set()
    for order in itertools.permutations([*lines, lines[1]]):
        revocations = Revocations()
        for one in order:
            revocations.apply(one, 50.0)
        outcomes.add(tuple(revocations.standing(token, NEVER) for token in tokens))
    assert len(outcomes) == 1


def test_replay_does_not_make_confirmed_tokens_doubtful_again():
    revocations = Revocations()
    revocations.apply(line("user", "u", 100.0), 50.0)
    assert revocations.standing(identity(), 60.0) is Standing.GOOD
    revocations.apply(line("user", "u", 100.0), 70.0)
    assert revocations.standing(identity(), 60.0) is Standing.GOOD


def test_second_revocation_in_the_same_second_ends_what_began_in_between():
    """Its watermark is the first one's, so by the watermark alone it would pass for a replay."""
    revocations = Revocations()
    revocations.apply(line("user", "u", 100.0, sequence=1), 50.0)
    assert revocations.standing(identity(session="between"), 50.2) is Standing.GOOD
    revocations.apply(line("user", "u", 100.0, sequence=2), 50.5)
    assert revocations.standing(identity(session="between"), 50.2) is Standing.DOUBTFUL
    for sequence in (1, 2):
        revocations.apply(line("user", "u", 100.0, sequence=sequence), 60.0)
    assert revocations.standing(identity(session="after"), 50.6) is Standing.GOOD


def test_key_and_watermark_of_everyone_refuse_tokens_and_no_sessions():
    revocations = Revocations()
    assert not revocations.refuses_widely(identity())
    revocations.apply(line("key", "k"), 50.0)
    assert revocations.standing(identity(), 60.0) is Standing.REVOKED
    other_key = Identity("u", "s", "", "", 100.0, 4000.0, "other")
    assert revocations.standing(other_key, NEVER) is Standing.GOOD
    revocations.apply(line("everyone", "", 100.0), 50.0)
    revocations.apply(line("everyone", "", 90.0), 51.0)
    assert revocations.standing(other_key, 60.0) is Standing.REVOKED
    assert revocations.standing(Identity("u", "s", "", "", 101.0, 4000.0, "other"), NEVER) is Standing.GOOD
    assert len(revocations) == 3
    revocations.expire(50.0 + 1e9)
    assert len(revocations) == 1, "the one that was applied later lives on"
    assert revocations.standing(identity(issued_at=95.0), NEVER) is Standing.GOOD


def test_log_outs_of_others_do_not_pile_up():
    """One account that logs out "others" from a thousand sessions must slow nobody down, and lose none of its meaning."""
    revocations = Revocations()
    for number in range(1000):
        revocations.apply(line("user", "u", 1000.0 + number, spared=f"s{number}"), float(number))
    assert len(revocations._users["u"]) == MARKS_MAX  # the bound is not to be seen from outside
    last, one_before = 1999.0, 1998.0
    assert revocations.standing(identity(session="new", issued_at=last - 2), 1e9) is Standing.REVOKED
    assert revocations.standing(identity(session="new", issued_at=last), 998.5) is Standing.DOUBTFUL
    assert revocations.standing(identity(session="s999", issued_at=one_before - 2), 1e9) is Standing.REVOKED
    assert revocations.standing(identity(session="s999", issued_at=one_before + 3), 1e9) is Standing.GOOD
    assert revocations.standing(identity(session="s998", issued_at=last - 2), 1e9) is Standing.REVOKED


def test_of_log_outs_in_one_second_the_latest_counts():
    """A watermark has whole seconds: a session confirmed between the first and the third of them was ended by the third."""
    revocations = Revocations()
    for number in range(3):
        revocations.apply(line("user", "u", 100.0, spared=f"s{number}"), 50.0 + number / 10)
    assert revocations.standing(identity(session="between", issued_at=100.0), 50.15) is Standing.DOUBTFUL
    assert revocations.standing(identity(session="s2", issued_at=100.0), 50.05) is Standing.DOUBTFUL


def test_expired_lines_leave():
    revocations = Revocations()
    revocations.apply(line("session", "s", until=10.0), 0.0)
    revocations.apply(line("user", "u", until=20.0), 0.0)
    revocations.expire(15.0)
    assert len(revocations) == 1
    revocations.expire(20.0)
    assert len(revocations) == 0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_shorter_line_does_not_cut_a_longer_ones_life(order: tuple[int, int]):
    """An administrator's revocation of sessions that could not be ended stands for a day, whatever comes after it."""
    lines = [line("user", "u", 100.0, sequence=1, until=86_460.0), line("user", "u", 200.0, sequence=2, until=3_900.0)]
    revocations = Revocations()
    for index in order:
        revocations.apply(lines[index], 10.0)
    revocations.expire(4_000.0)
    assert revocations.standing(identity(issued_at=90.0), 3_999.0) is Standing.REVOKED


def test_line_that_comes_again_while_expired_ones_leave_stays(monkeypatch: pytest.MonkeyPatch):
    """The set is looked through in steps, and a log-out may come between any two of them."""
    monkeypatch.setattr(records, "EXPIRED_AT_ONCE", 1)
    revocations = Revocations()
    for number in range(4):
        revocations.apply(line("session", f"s{number}", until=10.0), 0.0)
        revocations.apply(line("user", f"u{number}", until=10.0), 0.0)
    steps = revocations.expiring(10.0)
    next(steps)
    revocations.apply(line("session", "s3", until=20.0), 10.0)
    revocations.apply(line("user", "u3", sequence=2, until=20.0), 10.0)
    revocations.apply(line("session", "new", until=20.0), 10.0)
    assert len(list(steps)) == 7
    assert len(revocations) == 3
    assert revocations.standing(identity(session="s3"), 0.0) is Standing.REVOKED


def test_overfull_set_says_so_instead_of_forgetting():
    revocations = Revocations(subjects_max=2)
    for number in range(3):
        revocations.apply(line("session", f"s{number}"), 0.0)
    assert revocations.is_overfull
    assert len(revocations) == 2
    revocations.apply(line("session", "s0"), 0.0)
    assert revocations.standing(identity(session="s0"), NEVER) is Standing.REVOKED
