"""`cloud fault` and `cloud time`: words become one request, mistakes one line."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from infra.cli.__main__ import run
from infra.cli.cloud import LocalCloud
from infra.cli.commands import cloud_domain, cloud_fault, cloud_time
from infra.cli.durations import duration_text, parse_duration
from infra.cli.errors import UsageError

Asked = list[tuple[str, str, Any]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path) -> Asked:
    """What reaches the daemon; its answers have what the commands show."""
    seen: Asked = []

    class Recorder(LocalCloud):
        def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
            seen.append((method, path, body))
            return {"name": "demo/production/auth/us-west2/1", "key": "auth-1", "now": "2026-01-01T00:00:00Z", "offset_s": 9000.0}

    monkeypatch.setenv("CACHED_AUTH_HOME", str(tmp_path))
    for module in (cloud_domain, cloud_fault, cloud_time):
        monkeypatch.setattr(module, "require_cloud", lambda home: Recorder("http://127.64.0.1:8700", tmp_path / "token"))
    return seen


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        (
            "api --error-rate 0.1 --seed 7 --requests-per-hour 100",
            ("POST", "/_local/faults", {"graphql": {"error_rate": 0.1, "seed": 7}, "rate_limit": {"requests_per_hour": 100}}),
        ),
        (
            "api --deletions-linger-s 30",
            ("POST", "/_local/faults", {"graphql": {}, "rate_limit": {}, "deletions": {"linger_s": 30}}),
        ),
        ("kill auth/us-west2/1", ("POST", "/_local/faults/processes", {"key": "auth/us-west2/1", "action": "kill"})),
        ("down primary", ("POST", "/_local/faults/processes", {"key": "primary", "action": "down"})),
        ("link us-west2 all --partition", ("POST", "/_local/links", {"partitioned": True, "from": "us-west2", "both": True})),
        (
            "link us-west2 us-east4-eqdc4a --cut --one-way --rtt-ms 9",
            ("POST", "/_local/links", {"cut": True, "rtt_ms": 9, "from": "us-west2", "to": "us-east4-eqdc4a", "both": False}),
        ),
        (
            "link all all --heal",
            (
                "POST",
                "/_local/links",
                {"cut": False, "partitioned": False, "jitter_ms": 0, "loss_rate": 0, "seed": None, "both": True},
            ),
        ),
        (
            "standby standby --replay-delay-ms 5",
            ("POST", "/_local/faults/standbys", {"identifier": "standby", "replay_delay_ms": 5}),
        ),
        ("clear", ("DELETE", "/_local/faults", None)),
    ],
)
def test_a_fault_is_one_request(asked: Asked, line: str, request_: tuple[str, str, Any], capsys) -> None:
    assert run(["cloud", "fault", *line.split()]) == 0
    assert asked == [request_]
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_domains_record_is_one_request(asked: Asked) -> None:
    assert run(["cloud", "domain", "api.example.com", "--dns", "missing", "--json"]) == 0
    assert asked == [("POST", "/_local/domains", {"domain": "api.example.com", "has_record": False})]


def test_moving_the_clock_says_what_time_it_is_there(asked: Asked, capsys) -> None:
    assert run(["cloud", "time", "advance", "2h30m", "--json"]) == 0
    assert asked == [("POST", "/_local/time", {"advance_s": 9000.0})]
    assert json.loads(capsys.readouterr().out)["offset_s"] == 9000.0


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("2h30m", 9000), ("7d", 604_800), ("0.5h", 1800)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text, "DURATION", "") == seconds
    assert parse_duration(duration_text(seconds), "DURATION", "") == seconds


@pytest.mark.parametrize("text", ["", "90", "2h 30m", "-1h", "1w", "h", "1e9s"])
def test_a_duration_that_is_none_is_a_mistake(text: str) -> None:
    with pytest.raises(UsageError, match="DURATION: expected"):
        parse_duration(text, "DURATION", "")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("fault api --error-rate 2", "not in the range"),
        ("fault link us-west2 all", "expected what to change"),
        ("fault nosuch", "No such command"),
        ("fault link us-west2 all --cut --heal", "expected one of --cut"),
        ("fault overlap", "Choose from: new, old"),
        ("database restore primary --ago soon", "--ago: expected"),
        ("database restore primary --to yesterday --yes", "--to: expected"),
        ("database restore primary --to 2026-01-31T12:00:00 --yes", "--to: expected"),
        ("time advance soon", "DURATION"),
    ],
)
def test_a_mistake_is_one_line_with_the_next_command(asked: Asked, line: str, expected: str, capsys) -> None:
    assert run(["cloud", *line.split()]) == 2
    shown = capsys.readouterr().err
    assert expected in shown
    assert "next:" in shown
    assert len(shown.splitlines()) == 2
    assert asked == []


@pytest.mark.parametrize(
    "words",
    [
        ["fault"],
        ["time"],
        *(["fault", name] for name in cloud_fault.fault.commands),
        *(["time", name] for name in cloud_time.time.commands),
    ],
)
def test_every_command_has_an_example(words: list[str], capsys) -> None:
    assert run(["cloud", *words, "--help"]) == 0
    assert f"./cached-auth cloud {words[0]}" in capsys.readouterr().out


def test_a_list_of_commands_says_what_each_does_to_the_end(capsys) -> None:
    """click cuts a summary that is longer than its line, and three dots explain nothing."""
    for words in (["cloud"], ["cloud", "fault"], ["cloud", "time"], ["cloud", "database"], ["release"]):
        assert run([*words, "--help"]) == 0
        assert not re.search(r"\w\.\.\.$", capsys.readouterr().out, re.MULTILINE)


def test_what_is_switched_on_names_gateways_pauses_and_the_overlap(monkeypatch, tmp_path, capsys) -> None:
    replica = {"name": "demo/dev/auth/us-west2/1", "is_paused": True}
    database = {"name": "demo/primary", "is_held": False, "is_paused": False}
    gateway = {"name": "demo/api", "is_held": True, "is_paused": False}
    link = {"from": "a", "to": "b", "cut": False, "partitioned": True, "jitter_ms": 5.0, "loss_rate": 0.0}

    class Answering(LocalCloud):
        def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
            if path == "/_local/faults":
                return {"graphql": {"error_rate": 0.5, "delay_ms": 0.0}}
            return {
                "replicas": [replica],
                "caches": [],
                "databases": [{**database, "api": gateway}],
                "links": [link],
                "overlap": {"requests_meet": "old"},
            }

    monkeypatch.setenv("CACHED_AUTH_HOME", str(tmp_path))
    monkeypatch.setattr(cloud_fault, "require_cloud", lambda home: Answering("http://127.64.0.1:8700", tmp_path / "token"))
    assert run(["cloud", "fault", "list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "api error rate 0.5",
        "link a -> b: partitioned, jitter 5 ms",
        "down demo/api",
        "paused demo/dev/auth/us-west2/1",
        "during an overlap requests meet the old deployment",
    ]
