"""Writes verdict.json and report.html: one file without any link to elsewhere, readable offline, light and dark."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import jinja2
from markupsafe import Markup

from loadtests import charts, terminal
from loadtests.facts import RunFacts
from loadtests.measurement import Measurements, Series
from loadtests.verdict import Row, Verdict, encode

_SHOWN = (0.5, 0.9, 0.95, 0.99, 0.999)
_TEMPLATE = Path(__file__).with_name("report.html.j2")


def write_report(directory: Path, verdict: Verdict, measurements: Measurements, facts: RunFacts) -> None:
    """Both files, each replaced at once: a reader never sees half of one."""
    directory.mkdir(parents=True, exist_ok=True)
    _replace(directory / "report.html", render(verdict, measurements, facts).encode())
    _replace(directory / "verdict.json", encode(verdict))


def _replace(file: Path, content: bytes) -> None:
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(file)


def render(verdict: Verdict, measurements: Measurements, facts: RunFacts) -> str:
    """The page. Everything that came over the wire is escaped; only the charts are markup of ours."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["measured"] = terminal.measured_text
    environment.filters["margin"] = terminal.margin_text
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    blocks = [_block(series, verdict.rows) for series in measurements.series]
    return template.render(
        verdict=verdict,
        blocks=blocks,
        facts=facts,
        generator=measurements.generator,
        looks=measurements.looks,
        cross_checks=measurements.cross_checks,
        elapsed_s=(facts.ended - facts.started).total_seconds(),
    )


def _block(series: Series, rows: tuple[Row, ...]) -> Mapping[str, object]:
    limits_ms = [row.limit for row in rows if (row.scenario, row.region) == (series.scenario, series.region) and row.unit == "ms"]
    return {
        "series": series,
        "histogram": Markup(charts.histogram(series.latency, limits_ms)),  # noqa: S704  numbers of ours, labels escaped
        "timeline": Markup(charts.timeline(series.timeline, limits_ms)),  # noqa: S704
        "percentiles": [(f"p{100 * fraction:g}", series.latency.percentile(fraction) / 1000) for fraction in _SHOWN],
        "max_ms": series.latency.max_us / 1000,
    }
