"""The screen of a running deploy: one line per resource as it ends, with the time it took, and a sign of life meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from infra.cli.plan import QUIET_OPERATIONS, WORDS, Step, Tally, read_event, step_of, strip_colour
from infra.cli.screen import Screen

STILL_RUNNING_S = 10.0


class Progress:
    """Takes engine events, keeps the tally and prints lines. Events arrive on the SDK's thread, hence the lock."""

    def __init__(self, screen: Screen, is_planning: bool = False) -> None:
        self.screen, self.is_planning, self.tally = screen, is_planning, Tally()
        self._started: dict[str, tuple[Step, float]] = {}
        self._lock = threading.Lock()

    def __call__(self, event: Mapping[str, Any]) -> None:
        with self._lock:
            step = read_event(self.tally, event)
            if self.is_planning:
                return
            if step is not None:
                self._started.setdefault(step.urn, (step, time.monotonic()))
            if (outputs := event.get("resOutputsEvent")) is not None:
                self._ended(outputs["metadata"], None)
            elif (failed := event.get("resOpFailedEvent")) is not None:
                self._ended(failed["metadata"], "failed")
            elif (diagnostic := event.get("diagnosticEvent")) is not None:
                self._said(diagnostic)

    def _ended(self, metadata: Mapping[str, Any], failure: str | None) -> None:
        step = step_of(metadata)
        begun = self._started.pop(step.urn, None)
        if not step.is_shown or (metadata["op"] in QUIET_OPERATIONS and not failure) or metadata["op"] == "replace":
            return
        seconds = time.monotonic() - begun[1] if begun else 0.0
        _, done, sign, tone = WORDS.get(step.operation, WORDS["same"])
        word, tone = ("FAILED", "bad") if failure else (done, tone)
        label = f"{step.type.rsplit(':', 1)[-1]} {step.name}"
        self.screen.say(f"  {self.screen.paint(f'{sign:2} {word:9}', tone)} {label:46} {seconds:6.1f} s")

    def _said(self, diagnostic: Mapping[str, Any]) -> None:
        """Provider messages (deploy states, log lines) as they come; errors are told once, at the end."""
        message = strip_colour(str(diagnostic.get("message", ""))).strip()
        if message and not diagnostic.get("ephemeral") and diagnostic.get("severity") in ("info", "info#err", "warning"):
            name = str(diagnostic.get("urn") or "").rsplit("::", 1)[-1]
            for line in message.splitlines():
                self.screen.note(f"     {name + ': ' if name else ''}{line}")

    def _still_running(self) -> str:
        with self._lock:
            now = time.monotonic()
            waiting = [f"{step.name} {now - begun:.0f} s" for step, begun in self._started.values() if step.is_shown]
        return ", ".join(waiting[:4]) + (f" and {len(waiting) - 4} more" if len(waiting) > 4 else "")

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Says every ten seconds what is still under way."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(STILL_RUNNING_S):
                if waiting := self._still_running():
                    self.screen.note(f"     still running: {waiting}")

        watcher = threading.Thread(target=watch, name="still-running", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join(timeout=1)


def show_plan(screen: Screen, tally: Tally, with_texts: bool) -> None:
    """The plan's rows: each resource that changes with the fields that do. `with_texts`: the rendered files of new ones too."""
    for step in tally.steps:
        if not step.is_shown or step.operation in QUIET_OPERATIONS:
            continue
        _, _, sign, tone = WORDS[step.operation]
        screen.say(f"  {screen.paint(f'{sign:2}', tone)} {step.type.rsplit(':', 1)[-1]} {screen.paint(step.name, 'name')}")
        for change in step.changes:
            if step.operation == "create" and not (change.is_text and with_texts):
                continue
            for line in change.lines():
                screen.say(f"       {painted(screen, line)}")


def painted(screen: Screen, line: str) -> str:
    mark = line.strip()[:1]
    return screen.paint(line, {"+": "good", "-": "bad"}[mark]) if line.startswith("  ") and mark in ("+", "-") else line
