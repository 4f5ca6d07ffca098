"""The gate as the commands see it: its words, its verdict, its ends."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from infra.cli.errors import Interrupted, OperationFailed, UsageError
from infra.cli.gate import GateOptions, exit_code_of, read_verdict, run_child
from infra.cli.promotion import summary_of
from loadtests.verdict import Outcome, Row, Verdict, encode

ROW = Row("validate", "us-west2", "p95 < 50 ms", 50, "ms", 412.0, 400.0, 420.0, -7.2, 900, 0.95, Outcome.FAIL)
FAST = replace(ROW, measured=9.0, margin=0.82, outcome=Outcome.PASS)
HEALTH = replace(FAST, scenario="health", target="p95 < 100 ms", measured=90.0, margin=0.1)


def verdict(*rows: Row, outcome: Outcome = Outcome.FAIL, reasons: tuple[str, ...] = ()) -> Verdict:
    return Verdict(outcome, rows, reasons, "sha256:1", "dev", "run", "slo", "./cached-auth loadtest dev")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (verdict(FAST, ROW), "validate p95 < 50 ms: 412 ms"),
        (verdict(FAST, HEALTH, outcome=Outcome.PASS), "tightest: health p95 < 100 ms, 90 ms"),
        (verdict(ROW, outcome=Outcome.INVALID, reasons=("generator saturated",)), "generator saturated"),
        (verdict(replace(ROW, measured=None)), "validate p95 < 50 ms: not measured"),
    ],
)
def test_a_verdict_becomes_one_line_with_its_number_and_its_limit(given, expected):
    """`promote` and its journal say why with this line alone."""
    assert summary_of(given) == expected


def test_a_verdict_is_read_with_its_exit_code(tmp_path):
    (tmp_path / "verdict.json").write_bytes(encode(verdict(ROW)))
    result = read_verdict(10, tmp_path, "again")
    assert (exit_code_of(result), result.verdict.outcome) == (10, Outcome.FAIL)
    assert result.document()["rows"][0]["measured"] == 412.0
    assert json.dumps(result.document())


@pytest.mark.parametrize(("code", "kind"), [(2, UsageError), (-2, Interrupted), (130, Interrupted), (-11, OperationFailed)])
def test_a_gate_that_wrote_no_verdict_says_what_to_do(tmp_path, code, kind):
    with pytest.raises(kind) as raised:
        read_verdict(code, tmp_path, "./cached-auth loadtest dev")
    assert raised.value.next_command == "./cached-auth loadtest dev"


def test_an_end_that_is_no_verdict_never_counts_as_a_pass(tmp_path):
    (tmp_path / "verdict.json").write_bytes(encode(verdict(FAST, outcome=Outcome.PASS)))
    assert exit_code_of(read_verdict(1, tmp_path, "again")) == 12


def test_options_become_the_gates_own_words():
    options = GateOptions(Path("slo.yaml"), "us-west2", 3.0, allow_remote=True, allow_seeding=True)
    assert options.words() == [
        *("--slo", "slo.yaml", "--region", "us-west2", "--duration-s", "3.0", "--allow-remote", "--allow-seeding")
    ]


def test_the_childs_exit_code_is_ours():
    assert run_child([sys.executable, "-c", "raise SystemExit(12)"]) == 12
