"""The build log of a deployment: one JSON line per line, bounded, kept until its service goes."""

from __future__ import annotations

import logging
import re
from collections import deque
from pathlib import Path

import msgspec

from infra.localcloud.conducting.clock import timestamp

LINES_MAX = 2000
LINE_CHARACTERS_MAX = 4000
_ID = re.compile(r"[0-9a-f-]{36}")
_logger = logging.getLogger("localcloud")


class BuildLine(msgspec.Struct, frozen=True):
    timestamp: str
    severity: str
    message: str


class BuildLogs:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def add(self, deployment_id: str, message: str, severity: str = "info") -> None:
        """A log that cannot be written must not fail the deployment it tells about; the daemon's own log says so."""
        line = BuildLine(timestamp(), severity, message[:LINE_CHARACTERS_MAX])
        try:
            with self._path(deployment_id).open("ab") as file:
                file.write(msgspec.json.encode(line) + b"\n")
        except OSError as exc:
            _logger.warning("build log of %s: %s", deployment_id, exc)

    def read(self, deployment_id: str) -> list[BuildLine]:
        """Oldest first; a torn last line is left out."""
        lines: deque[BuildLine] = deque(maxlen=LINES_MAX)
        try:
            with self._path(deployment_id).open("rb") as file:
                for raw in file:
                    try:
                        lines.append(msgspec.json.decode(raw, type=BuildLine))
                    except msgspec.DecodeError:
                        continue
        except FileNotFoundError:
            return []
        return list(lines)

    def _path(self, deployment_id: str) -> Path:
        assert _ID.fullmatch(deployment_id), "deployment ids are UUIDs made here"
        return self._directory / f"{deployment_id}.jsonl"
