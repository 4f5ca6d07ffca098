"""A person at the commands: runs `./cached-auth ...` as a process in a home of its own and reads what it answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
SLO = ROOT / "tests" / "story" / "slo.yaml"
COMMAND_TIMEOUT_S = 240


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """How a command ended. `document` is what --json printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.out)

    def __repr__(self) -> str:
        return f"exit {self.code}\n{self.out[-3000:]}\n{self.err[-3000:]}"


@dataclass(frozen=True, slots=True)
class Person:
    """One home; nothing of another run is seen from it."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("PULUMI", "RAILWAY", "SUPABASE", "CACHED_AUTH"))
        }
        return {**kept, "CACHED_AUTH_HOME": str(self.home), "NO_COLOR": "1"}

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "infra.cli", *words]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def types(self, *words: str) -> Answer:
        process = self.start(*words)
        try:
            out, err = process.communicate(timeout=COMMAND_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return Answer(process.returncode, out, err)

    def processes(self) -> list[str]:
        """Whatever still runs for this home, by its command line or its folder."""
        found = []
        for process in psutil.process_iter(["cmdline", "cwd"]):
            words = " ".join(process.info["cmdline"] or [])
            if str(self.home) in words or str(process.info["cwd"] or "").startswith(str(self.home)):
                found.append(words)
        return found
