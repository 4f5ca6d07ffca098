"""How good is the gate itself? Detection and false-alarm rates on injected regressions.

Usage: python -m loadtests.bench.gate [--seconds-max 120]

Part one draws latencies from a known distribution, so that the right answer is known, and runs them through the verdict: a fail
of a service that keeps its target is a false alarm, a pass of one that breaks it is a miss. Beside it stands the rule of most
gates, "measured p95 below the limit". Part two runs the whole gate, in short, against a real server with faults, until time is
up.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from loadtests.distribution import Distribution, from_values
from loadtests.measurement import GeneratorFacts, Measurements, Series
from loadtests.slo import Slo, parse_slo
from loadtests.verdict import Binding, Outcome, judge

ROOT = Path(__file__).resolve().parents[2]
DOUBLE = Path(__file__).with_name("service_double.py")
CALM = GeneratorFacts(1.0, 2.0, 20.0, 0, 1000)
LIMIT_MS = 50.0
SIGMA = 0.5
TRIALS = 300
FAULTS = (
    ("none", 1.0),
    ("delay", 100.0),
    ("stall", 1.0),
    ("errors", 1.0),
    ("none", 1.0),
    ("cold-cache", 1.0),
    ("wrong-cors", 1.0),
    ("revocation-unseen", 1.0),
    ("none", 1.0),
    ("mixed-identity", 1.0),
    ("swallow", 1.0),
)
SHORT_RUN = """
version: 1
run: {warm_up_s: 0.5, duration_s: 2.5, extension_s: 0, request_timeout_s: 1, users: 40, sessions: 8}
scenarios:
  validate: {rate_per_s: 120, targets: [p95 < 50 ms, hit_rate >= 80 %, error_rate <= 0 %]}
  login: {rate_per_s: 10, arrivals: uniform, targets: [p95 < 200 ms, error_rate <= 0 %]}
  preflight: {rate_per_s: 25, targets: [p95 < 50 ms, error_rate <= 0 %]}
  health: {rate_per_s: 12, arrivals: uniform, targets: [p95 < 100 ms, error_rate <= 0 %]}
  revoke_then_validate: {rate_per_s: 4, arrivals: uniform, bound_ms: 600, targets: [max < 600 ms, error_rate <= 0 %]}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds-max", type=float, default=120.0)
    deadline_s = time.monotonic() + parser.parse_args().seconds_max
    print_percentiles()
    print_stall()
    print_real_runs(deadline_s)


def print_percentiles() -> None:
    """Rates of each outcome over the true p95, for validate's and login's number of samples."""
    slo = parse_slo({"version": 1, "scenarios": {"validate": {"rate_per_s": 1, "targets": [f"p95 < {LIMIT_MS:g} ms"]}}}, "-")
    print(f"p95 < {LIMIT_MS:g} ms, lognormal latencies, {TRIALS} runs each; 'naive' fails at a measured p95 of the limit or more")
    print(f"{'n':>6} {'true p95':>9}  {'pass':>6} {'fail':>6} {'undecided':>9}  {'naive fail':>10}")
    for n in (1800, 24):
        for change in (-0.4, -0.2, -0.1, -0.05, 0.05, 0.1, 0.2, 0.4, 1.0):
            print(_outcome_line(slo, n, change))
    print("below the limit a fail is a false alarm, above it a pass is a miss\n")


def _outcome_line(slo: Slo, n: int, change: float) -> str:
    rng = random.Random(f"{n}/{change}")  # noqa: S311  a simulation that must come again
    true_p95_ms = LIMIT_MS * (1 + change)
    center = math.log(true_p95_ms * 1000) - SIGMA * statistics.NormalDist().inv_cdf(0.95)
    outcomes: Counter[Outcome] = Counter()
    naive = 0
    for _ in range(TRIALS):
        latency = from_values(round(rng.lognormvariate(center, SIGMA)) for _ in range(n))
        outcomes[_judged(slo, latency)] += 1
        naive += latency.percentile(0.95) >= LIMIT_MS * 1000
    shares = [100 * outcomes[one] / TRIALS for one in (Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE)]
    return f"{n:>6} {change:>+8.0%}   {shares[0]:>5.1f}% {shares[1]:>5.1f}% {shares[2]:>8.1f}%  {100 * naive / TRIALS:>9.1f}%"


def _judged(slo: Slo, latency: Distribution) -> Outcome:
    series = Series("validate", "-", latency.n, latency.n, 0, latency, ())
    return judge(Measurements((series,), CALM), slo, Binding("-", "-", "-", "-")).outcome


def print_stall() -> None:
    """A 3 ms server that stands still for 2 s once in 12 s, at 150 arrivals a second: what each kind of loop reports."""
    opened = from_values(_open_loop(150, 12.0, 5.0, 2.0))
    closed = from_values(_closed_loop(10, 150, 12.0, 5.0, 2.0))
    print("a stall of 2 s in a run of 12 s, 150/s, 3 ms service time")
    for name, found in (("open loop (the gate)", opened), ("closed loop, 10 users", closed)):
        percentiles = f"p95 {found.percentile(0.95) / 1000:>8.1f} ms  p99 {found.percentile(0.99) / 1000:>8.1f} ms"
        print(f"  {name:<22} n {found.n:>5}  {percentiles}")
    print()


def _open_loop(rate: int, duration_s: float, stall_at_s: float, stall_s: float) -> Iterator[int]:
    for number in range(int(rate * duration_s)):
        at_s = number / rate
        waits_s = stall_at_s + stall_s - at_s if stall_at_s <= at_s < stall_at_s + stall_s else 0.0
        yield round((waits_s + 0.003) * 1e6)


def _closed_loop(users: int, rate: int, duration_s: float, stall_at_s: float, stall_s: float) -> Iterator[int]:
    for user in range(users):
        at_s = user / rate
        while at_s < duration_s:
            waits_s = stall_at_s + stall_s - at_s if stall_at_s <= at_s < stall_at_s + stall_s else 0.0
            yield round((waits_s + 0.003) * 1e6)
            at_s += max(waits_s + 0.003, users / rate)


def print_real_runs(deadline_s: float) -> None:
    """Whole gate runs, in turn over the faults, until another would not fit."""
    outcomes: dict[str, Counter[str]] = {}
    longest_s, number = 10.0, 0
    while time.monotonic() + longest_s < deadline_s:
        fault, amount = FAULTS[number % len(FAULTS)]
        begun_s = time.monotonic()
        outcomes.setdefault(fault, Counter())[_real_run(fault, amount)] += 1
        longest_s, number = max(longest_s, time.monotonic() - begun_s), number + 1
    print(f"the whole gate against a real server, {number} runs of 2.5 s")
    for fault, counted in outcomes.items():
        right = counted["pass" if fault == "none" else "fail"]
        words = ", ".join(f"{name} {count}" for name, count in counted.most_common())
        print(f"  {fault:<20} right {right} of {counted.total()}   ({words})")


def _real_run(fault: str, amount: float) -> str:
    with tempfile.TemporaryDirectory() as folder:
        slo, outputs = Path(folder) / "slo.yaml", Path(folder) / "outputs.json"
        slo.write_text(SHORT_RUN)
        command = [sys.executable, str(DOUBLE), "--fault", fault, "--amount", str(amount)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as service:
            try:
                assert service.stdout is not None
                outputs.write_text(service.stdout.readline())
                return _run_gate(folder, slo, outputs)
            finally:
                service.kill()


def _run_gate(folder: str, slo: Path, outputs: Path) -> str:
    options = ["--outputs", str(outputs), "--slo", str(slo), "--report", folder, "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "loadtests", "run", *options], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    return str(json.loads(done.stdout)["outcome"])


if __name__ == "__main__":
    main()
