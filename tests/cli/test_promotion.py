"""What `promote` shows and how it ends."""

import pytest

from infra.cli.commands.promote import check_release, exit_code
from infra.cli.errors import UsageError
from infra.cli.home import Home
from infra.cli.promotion import show_event
from infra.cli.screen import Screen
from infra.rollout import events as ev
from infra.rollout.events import Begun, Outcome
from infra.rollout.plan import Phase, State

NEW = "sha256:" + "1" * 64
BEGUN = Begun("id", "dev", NEW, {"a": "sha256:0", "b": "sha256:0"}, ("a", "b"), (), "me")


@pytest.mark.parametrize(
    ("phase", "cause", "expected"),
    [
        (Phase.PROMOTED, None, 0),
        (Phase.HELD, None, 0),
        (Phase.RETURNED, ev.Judged("a", 1, Outcome.FAIL, "slow"), 10),
        (Phase.RETURNED, ev.Judged("a", 2, Outcome.INVALID, "saturated"), 12),
        (Phase.RETURNED, ev.DeployBroke("a", "crashed"), 1),
        (Phase.RETURNED, ev.ReturnAsked("me", "changed my mind"), 1),
    ],
)
def test_how_a_promotion_ended_is_its_exit_code(phase, cause, expected):
    assert exit_code(State(BEGUN, phase, cause=cause)) == expected


@pytest.mark.parametrize(("given", "expected"), [("latest", "expected sha256:"), (NEW, "is not on this machine")])
def test_a_release_that_cannot_be_promoted_is_refused_first(tmp_path, given, expected):
    with pytest.raises(UsageError, match=expected) as raised:
        check_release(Home(tmp_path), given)
    assert "release" in (raised.value.next_command or "")


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (BEGUN, "a -> b"),
        (ev.Judged("a", 1, Outcome.FAIL, "validate p95 < 50 ms: 412 ms"), "a: fail: validate p95 < 50 ms: 412 ms"),
        (ev.GateStarted("a", 2), "attempt 2"),
        (ev.Held("a"), "./cached-auth promote dev --resume"),
        (ev.ReturnStarted("a"), "a: returning"),
    ],
)
def test_each_thing_that_happens_is_one_line(event, expected, capsys, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    show_event(Screen(), "dev", event)
    assert expected in capsys.readouterr().out
