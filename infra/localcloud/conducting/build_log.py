"""The build log of a deployment: one JSON line per line, bounded, kept until its service goes."""

from __future__ import annotations

import contextlib
import logging
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from infra.localcloud.world_clock import WorldClock

LINES_MAX = 2000
LINE_CHARACTERS_MAX = 4000
_ID = re.compile(r"[0-9a-f-]{36}")
_logger = logging.getLogger("localcloud")


class BuildLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the log; with a `step` the beginning of one or, with `completed_at` too, its end (`message`: what failed)."""

    timestamp: str
    severity: str
    message: str
    step: str | None = None
    completed_at: str | None = None


@dataclass(frozen=True, slots=True)
class BuildEvent:
    """A step of a deployment, under Railway's name for it. `error` is empty unless it failed."""

    step: str
    started_at: str
    completed_at: str | None
    error: str | None

    @property
    def key(self) -> str:
        return f"{self.step}:{self.started_at}"

    @property
    def duration_ms(self) -> int | None:
        if self.completed_at is None:
            return None
        return round((datetime.fromisoformat(self.completed_at) - datetime.fromisoformat(self.started_at)).total_seconds() * 1000)


class BuildLogs:
    def __init__(self, directory: Path, clock: WorldClock) -> None:
        self._directory, self._clock = directory, clock
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def add(self, deployment_id: str, message: str, severity: str = "info") -> None:
        """A log that cannot be written must not fail the deployment it tells about; the daemon's own log says so."""
        self._write(deployment_id, BuildLine(self._clock.timestamp(), severity, message[:LINE_CHARACTERS_MAX]))

    @contextlib.contextmanager
    def step(self, deployment_id: str, name: str) -> Iterator[None]:
        """Records when a step of the deployment begins, and how it ends."""
        begun = self._clock.timestamp()
        self._write(deployment_id, BuildLine(begun, "info", "", name))
        message = ""
        try:
            yield
        except BaseException as exc:
            message = (str(exc) or type(exc).__name__)[:LINE_CHARACTERS_MAX]
            raise
        finally:
            self._write(deployment_id, BuildLine(begun, "error" if message else "info", message, name, self._clock.timestamp()))

    def _write(self, deployment_id: str, line: BuildLine) -> None:
        try:
            with self._path(deployment_id).open("ab") as file:
                file.write(msgspec.json.encode(line) + b"\n")
        except OSError as exc:
            _logger.warning("build log of %s: %s", deployment_id, exc)

    def read(self, deployment_id: str) -> list[BuildLine]:
        """Oldest first; a torn last line is left out."""
        return self._lines(deployment_id, lambda line: line.step is None)

    def events(self, deployment_id: str) -> list[BuildEvent]:
        """In the order in which the steps began."""
        found: dict[str, BuildEvent] = {}
        for line in self._lines(deployment_id, lambda line: line.step is not None):
            event = BuildEvent(line.step or "", line.timestamp, line.completed_at, line.message or None)
            found[event.key] = event
        return list(found.values())

    def _lines(self, deployment_id: str, is_wanted: Callable[[BuildLine], bool]) -> list[BuildLine]:
        lines: deque[BuildLine] = deque(maxlen=LINES_MAX)
        try:
            with self._path(deployment_id).open("rb") as file:
                for raw in file:
                    try:
                        line = msgspec.json.decode(raw, type=BuildLine)
                    except msgspec.DecodeError:
                        continue
                    if is_wanted(line):
                        lines.append(line)
        except FileNotFoundError:
            return []
        return list(lines)

    def _path(self, deployment_id: str) -> Path:
        assert _ID.fullmatch(deployment_id), "deployment ids are UUIDs made here"
        return self._directory / f"{deployment_id}.jsonl"
