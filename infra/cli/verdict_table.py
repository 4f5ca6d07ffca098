"""The gate's table: scenario, target, measured, margin, verdict."""

from __future__ import annotations

from infra.cli.gate import GateResult
from infra.cli.screen import Screen

TONES = {"pass": "good", "fail": "bad", "inconclusive": "warn", "invalid": "warn"}


def show_verdict(screen: Screen, gate: GateResult) -> None:
    screen.heading("load gate")
    rows = gate.verdict.get("rows", [])
    cells = [
        tuple(str(row.get(key, "")) for key in ("scenario", "region", "target", "measured", "margin", "outcome")) for row in rows
    ]
    if cells:
        screen.table(
            ("scenario", "region", "target", "measured", "margin", "verdict"), cells, [TONES.get(row[-1]) for row in cells]
        )
    screen.say(f"verdict: {screen.paint(gate.outcome, TONES.get(gate.outcome, 'warn'), bold=True)}")
    for reason in gate.verdict.get("reasons", []):
        screen.say(f"  {reason}")
    screen.say(f"report:  {gate.report / 'report.html'}")
