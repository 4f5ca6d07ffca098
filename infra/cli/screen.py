"""Everything the commands print: words and progress on stdout, errors on stderr.

With `--json` every word moves to stderr, so that stdout is one document and pipes stay clean. Colours only on a terminal and
never with NO_COLOR (no-color.org); FORCE_COLOR asks for them elsewhere.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import click

TONES = {"good": "green", "bad": "red", "warn": "yellow", "dim": "bright_black", "name": "cyan"}


def has_colour(stream: IO[str]) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


class Screen:
    """One per run. `is_json` moves every word to stderr and leaves stdout to one JSON document."""

    def __init__(self, is_json: bool = False) -> None:
        self.is_json = is_json
        self._started = time.monotonic()

    def paint(self, text: str, tone: str, stream: IO[str] | None = None) -> str:
        return click.style(text, fg=TONES[tone]) if has_colour(stream or self._words) else text

    @property
    def _words(self) -> IO[str]:
        return sys.stderr if self.is_json else sys.stdout

    @property
    def has_colour(self) -> bool:
        return has_colour(self._words)

    def elapsed_s(self) -> float:
        return time.monotonic() - self._started

    def say(self, text: str = "") -> None:
        """A line for a person."""
        print(text, file=self._words, flush=True)

    def note(self, text: str) -> None:
        """A line that nobody needs but who waits may like."""
        self.say(self.paint(text, "dim"))

    def heading(self, text: str) -> None:
        self.say()
        self.say(click.style(text, bold=True) if has_colour(self._words) else text)

    def result(self, document: Any) -> None:
        """The JSON document of a `--json` run."""
        print(json.dumps(document, indent=2, sort_keys=False), flush=True)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], tones: Sequence[str | None] = ()) -> None:
        """Left-aligned columns; `tones` colours whole rows."""
        widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
        self.say(self.paint("  ".join(cell.ljust(width) for cell, width in zip(header, widths, strict=True)).rstrip(), "dim"))
        for index, row in enumerate(rows):
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            tone = tones[index] if index < len(tones) else None
            self.say(self.paint(line, tone) if tone else line)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Announces, does, reports the time it took."""
        started = time.monotonic()
        self.say(f"{what} ...")
        yield
        self.note(f"  done in {time.monotonic() - started:.1f} s")


def error(message: str, next_command: str | None, details: str = "") -> None:
    """The one form in which every failure appears, always on stderr."""
    paint = click.style if has_colour(sys.stderr) else (lambda text, **_: text)
    print(f"{paint('error:', fg='red', bold=True)} {message}", file=sys.stderr)
    if details:
        print("\n".join(f"  {line}" for line in details.splitlines()), file=sys.stderr)
    if next_command:
        print(f"next:  {next_command}", file=sys.stderr)
    sys.stderr.flush()
