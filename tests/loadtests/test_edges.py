"""The small parts around the run: outputs and guards, arrivals, redaction, counters, terminal, imports."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests import cli, terminal
from loadtests.arrivals import schedule, zipf_weights
from loadtests.exposition import Lookups, differences, parse_lookups
from loadtests.outputs import OutputsError, guard_hosts, guard_seeding, load_outputs, remote_hosts
from loadtests.recorder import SeriesRecorder
from loadtests.redaction import redact
from loadtests.verdict import encode, judge
from tests.loadtests.series import BINDING, latencies, measured, series, slo_of

DOCUMENT = {
    "stack": "dev",
    "endpoint": "http://127.0.0.1:1",
    "release": "sha256:1",
    "regions": {"a": {"url": "http://127.0.0.1:1", "replica_urls": [], "service_id": "x"}, "b": {"url": "http://127.0.0.2:1"}},
    "supabase_url": "http://127.0.0.1:2",
    "anon_key": "anon-secret",
    "service_role_key": "role-secret",
    "database_url": "not for the gate",
}


def outputs_file(tmp_path: Path, **changes: object) -> Path:
    file = tmp_path / "outputs.json"
    file.write_text(json.dumps({**DOCUMENT, **changes}))
    return file


def test_outputs_keep_one_region_when_asked(tmp_path: Path) -> None:
    assert list(load_outputs(outputs_file(tmp_path), "b").regions) == ["b"]


@pytest.mark.parametrize("change", [{"regions": {}}, {"regions": []}, {"anon_key": None}, {"stack": 1}])
def test_wrong_outputs_are_refused_without_showing_a_secret(tmp_path: Path, change: dict[str, object]) -> None:
    with pytest.raises(OutputsError) as caught:
        load_outputs(outputs_file(tmp_path, **change))
    assert "secret" not in str(caught.value)


def test_outputs_print_without_their_keys(tmp_path: Path) -> None:
    assert "role-secret" not in repr(load_outputs(outputs_file(tmp_path)))


def test_an_unknown_region_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputsError, match="expected one of a, b, got 'c'"):
        load_outputs(outputs_file(tmp_path), "c")


def test_load_stays_on_this_machine_unless_allowed(tmp_path: Path) -> None:
    remote = load_outputs(outputs_file(tmp_path, supabase_url="http://192.0.2.1"))
    with pytest.raises(OutputsError, match="--allow-remote"):
        guard_hosts(remote, False)
    guard_hosts(remote, True)
    guard_hosts(load_outputs(outputs_file(tmp_path)), False)


def test_addresses_of_this_machine_are_not_remote() -> None:
    assert remote_hosts(["http://127.64.1.1:8080", "http://[::1]:80", "http://localhost:1"]) == ()
    assert remote_hosts(["http://192.0.2.1/x", "http://10.0.0.1"]) == ("192.0.2.1", "10.0.0.1")


def test_users_are_not_seeded_into_a_stack_that_is_not_local(tmp_path: Path) -> None:
    for changes in ({"cloud": "railway"}, {"supabase_url": "http://192.0.2.1"}):
        outputs = load_outputs(outputs_file(tmp_path, **changes))
        with pytest.raises(OutputsError, match="--allow-seeding"):
            guard_seeding(outputs, False)
        guard_seeding(outputs, True)
    guard_seeding(load_outputs(outputs_file(tmp_path, cloud="local")), False)


@pytest.mark.parametrize("kind", ["poisson", "uniform"])
def test_arrivals_come_again_with_their_seed_at_their_rate(kind: str) -> None:
    first = list(schedule(kind, 100, 50, "seed"))
    assert first == list(schedule(kind, 100, 50, "seed"))
    assert first != list(schedule(kind, 100, 50, "other"))
    assert first == sorted(first)
    assert len(first) == pytest.approx(5000, rel=0.06)
    assert 0 <= first[0] < first[-1] < 50


def test_uniform_arrivals_are_as_many_as_the_rate_says() -> None:
    assert {len(list(schedule("uniform", 2, 12, str(seed)))) for seed in range(50)} == {24}


def test_zipf_gives_the_first_the_most() -> None:
    assert zipf_weights(3) == pytest.approx([1, 1.5, 1.8333], abs=1e-3)


def test_tokens_and_secrets_do_not_reach_a_report() -> None:
    text = 'status 500 {"access_token": "abc", "message": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln role-secret"}\nnext'
    found = redact(text, ["role-secret"])
    assert found == 'status 500 {"access_token": [secret], "message": "[token] [secret]"} next'
    assert len(redact("x" * 10_000)) == 200


def test_the_recorder_is_within_a_thousandth() -> None:
    recorder = SeriesRecorder("validate", "a", ["c"], [])
    for latency_us in (123, 4567, 89_012, 1_999_999):
        recorder.sample(0.5, latency_us / 1e6, is_counted=True)
    recorder.sample(0.1, 9.0, is_counted=False)
    found = [value_us for value_us, _count in recorder.freeze().latency.buckets]
    assert found == pytest.approx([123, 4567, 89_012, 1_999_999], rel=1.1e-3)


EXPOSITION = """# TYPE cached_auth_cache_lookups_total counter
cached_auth_cache_lookups_total{outcome="hit",tier="l1"} 90.0
cached_auth_cache_lookups_total{outcome="miss",tier="l1"} 10.0
cached_auth_cache_lookups_total{outcome="hit",tier="l2"} 4.0
cached_auth_cache_lookups_total{outcome="miss",tier="l2"} 6.0
cached_auth_cache_lookups_total{outcome="hit",tier="rejections"} 7.0
"""


def test_the_replicas_own_counters_are_read() -> None:
    assert parse_lookups(EXPOSITION) == Lookups(100.0, 94.0)
    assert parse_lookups("# nothing of ours\n") is None


def test_a_restarted_replica_gives_no_cross_check() -> None:
    before, after = {"a": Lookups(100, 90), "b": Lookups(5, 5)}, {"a": Lookups(10, 9), "b": Lookups(25, 20)}
    assert [(one.region, one.lookups, one.hits) for one in differences(before, after)] == [("b", 20, 15)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "expected"), [({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colours_respect_no_color(environment: dict[str, str], expected: bool) -> None:
    assert terminal.wants_colour(Terminal(), environment) is expected
    assert terminal.wants_colour(io.StringIO(), environment) is False


def test_show_prints_the_table_of_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = judge(measured(series(latencies([80.0] * 100))), slo_of(["p95 < 50 ms"]), BINDING)
    (tmp_path / "verdict.json").write_bytes(encode(found))
    assert cli.main(["show", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    for words in ("validate", "us-west2", "p95 < 50 ms", "80 ms", "-60 %", "verdict: fail", "again: python -m loadtests run"):
        assert words in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("arguments", [["show", "/nonexistent"], ["check-slo", "/nonexistent.yaml"]])
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    assert "Example: python -m loadtests run" in " ".join(capsys.readouterr().out.split())


def test_reading_verdicts_does_not_patch_the_interpreter() -> None:
    """The commands import these; gevent's monkey patching would break their own event loops."""
    code = (
        "import sys, loadtests.verdict, loadtests.slo, loadtests.report, loadtests.cli, loadtests.scenarios, loadtests.recorder;"
        "print('gevent' in sys.modules, 'locust' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == ["False", "False"]
