"""The verdict as a table for a terminal. Colours only where a terminal reads them and NO_COLOR (no-color.org) is not set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO

from loadtests.verdict import Outcome, Row, Verdict

_COLOUR = {Outcome.PASS: "32", Outcome.FAIL: "31", Outcome.INCONCLUSIVE: "33", Outcome.INVALID: "35"}
HEAD = ("scenario", "region", "target", "measured", "margin", "n", "verdict")


def wants_colour(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """A terminal, not dumb, NO_COLOR absent or empty."""
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def measured_text(row: Row) -> str:
    """The value with its unit, a dash where there is none."""
    return "-" if row.measured is None else f"{row.measured:.4g} {row.unit}"


def margin_text(row: Row) -> str:
    """Signed per cent of the limit."""
    return "-" if row.margin is None else f"{100 * row.margin + 0.0:+.0f} %"


def table(verdict: Verdict, is_coloured: bool) -> str:
    """The whole table with a heading, the reasons and the command to run again."""
    cells = [_cells(row) for row in verdict.rows]
    widths = [max(len(line[column]) for line in [HEAD, *cells]) for column in range(len(HEAD))]
    lines = [f"{verdict.stack}  {verdict.release[:19]}  run {verdict.run_id}", ""]
    lines += [_line(HEAD, widths)] if cells else []
    for row, cell in zip(verdict.rows, cells, strict=True):
        lines.append(_paint(_line(cell, widths), row.outcome, is_coloured and row.outcome is not Outcome.PASS))
    lines += ["", _paint(f"verdict: {verdict.outcome}", verdict.outcome, is_coloured)]
    lines += [f"  {reason}" for reason in verdict.reasons]
    if verdict.outcome is not Outcome.PASS:
        lines.append(f"  again: {verdict.command}")
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    return (row.scenario, row.region, row.target, measured_text(row), margin_text(row), str(row.n), str(row.outcome))


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    numbers = ("measured", "margin", "n")
    padded = (
        cell.rjust(width) if head in numbers else cell.ljust(width) for cell, width, head in zip(cells, widths, HEAD, strict=True)
    )
    return "  ".join(padded).rstrip()


def _paint(text: str, outcome: Outcome, is_coloured: bool) -> str:
    return f"\x1b[{_COLOUR[outcome]}m{text}\x1b[0m" if is_coloured else text
