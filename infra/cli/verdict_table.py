"""The gate's table: scenario, target, measured, margin, verdict."""

from __future__ import annotations

from infra.cli.gate import GateResult
from infra.cli.screen import Screen
from loadtests.terminal import table


def show_verdict(screen: Screen, gate: GateResult) -> None:
    screen.heading("load gate")
    screen.say(table(gate.verdict, screen.has_colour))
    screen.say(f"report:  {gate.report / 'report.html'}")
