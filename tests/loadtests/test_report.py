"""The report: one page that works offline, says what was measured, and shows nothing that came over the wire as markup."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

from loadtests.facts import RunFacts, machine
from loadtests.measurement import CheckCount, ErrorExample, Second
from loadtests.report import render
from loadtests.slo import RunSettings
from loadtests.verdict import judge
from tests.loadtests.series import BINDING, latencies, measured, series, slo_of

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
FACTS = RunFacts(START, START + timedelta(seconds=20), machine(), RunSettings())


class Wellformed(HTMLParser):
    """Every element that is opened is closed, in order."""

    VOID = ("meta", "br", "line", "rect", "polyline")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def page(detail: str = "status 500") -> str:
    timeline = tuple(Second(second, 20, int(second == 3), 1000, 5000 + second, second > 1) for second in range(6))
    part = series(
        latencies(range(1, 101)),
        errors=1,
        checks=[CheckCount("verify is 200", 100, 1)],
        examples=[ErrorExample("verify is 200", detail, 1)],
    )
    found = measured(replace(part, timeline=timeline))
    return render(judge(found, slo_of(["p95 < 50 ms", "error_rate <= 0 %"]), BINDING), found, FACTS)


def test_the_page_is_whole_and_needs_nothing_from_elsewhere() -> None:
    parser = Wellformed()
    parser.feed(page())
    assert parser.open == []
    assert parser.links == []
    assert not re.search(r"@import|url\(|<script", page())


def test_the_page_holds_the_verdict_the_figures_and_the_command() -> None:
    text = page()
    for words in (
        "p95 &lt; 50 ms",
        "95 ms",
        "-90 %",
        "fail",
        "sha256:abc",
        "run-1",
        "python -m loadtests run",
        "lateness",
        "<svg",
        "p99 99.00",
    ):
        assert words in text


def test_what_a_service_answers_is_text_and_not_markup() -> None:
    assert "<script>alert" not in page("<script>alert(1)</script>")


def test_a_run_that_measured_nothing_has_a_page_too() -> None:
    found = measured(obstacles=["unreachable: us-west2 at http://127.0.0.1:1"])
    assert "unreachable: us-west2" in render(judge(found, slo_of(["p95 < 50 ms"]), BINDING), found, FACTS)


def test_a_lane_without_samples_is_drawn_as_such() -> None:
    found = measured(series(latencies([]), finished=0))
    assert "no samples" in render(judge(found, slo_of(["p95 < 50 ms"]), BINDING), found, FACTS)
