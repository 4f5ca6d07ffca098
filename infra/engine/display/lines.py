"""Plain text for people: one line per finished resource, diagnostics, details on request, a summary.

Built from engine events alone, in which secrets are masked already.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from infra.engine.display.detail import detail_lines
from infra.engine.display.events import Event
from infra.engine.model.urns import STACK_TYPE, is_default_provider, urn_name, urn_type

MARKS: Final = {
    "create": ("+", "created", "to create"),
    "update": ("~", "updated", "to update"),
    "delete": ("-", "deleted", "to delete"),
    "replace": ("+-", "replaced", "to replace"),
    "create-replacement": ("++", "created replacement", "create replacement"),
    "delete-replaced": ("--", "deleted original", "delete original"),
    "same": ("", "unchanged", "unchanged"),
    "read": (">", "read", "to read"),
    "read-replacement": (">~", "read replacement", "read replacement"),
    "discard": ("<", "discarded", "to discard"),
    "discard-replaced": ("<<", "discarded original", "discard original"),
    "refresh": ("~", "refreshed", "to refresh"),
    "import": ("=", "imported", "to import"),
    "import-replacement": ("=>", "imported replacement", "import replacement"),
    "remove-pending-replace": ("~", "completed pending delete", "complete pending delete"),
}


# Steps that change nothing are told on request.
_ON_REQUEST: Final = {"same": "--show-sames", "read": "--show-reads"}


@dataclass(slots=True)
class Display:
    """A subscriber of events that prints."""

    write: Callable[[str], None]
    is_preview: bool
    is_detailed: bool = False
    is_quiet: bool = False
    # With a tree on the screen: steps are told there, the rest is said when it is done.
    is_live: bool = False
    # URN -> where and how the program asks for it, "" where that is not known.
    locate: Callable[[str], str] = lambda urn: ""
    # What else the user wants to see: --show-sames, --show-reads, --show-config, --urns.
    shown: frozenset[str] = frozenset()
    changes: dict[str, int] = field(default_factory=dict)
    _late: list[str] = field(default_factory=list)
    _started: dict[tuple[str, str], float] = field(default_factory=dict)
    _diagnostics: list[tuple[str, str, str]] = field(default_factory=list)

    def on_event(self, event: Event) -> None:
        if "resourcePreEvent" in event:
            metadata = event["resourcePreEvent"]["metadata"]
            self._started[metadata["urn"], metadata["op"]] = time.monotonic()
        elif "resOutputsEvent" in event:
            self._finished(event["resOutputsEvent"]["metadata"])
        elif "resOpFailedEvent" in event:
            self._line(event["resOpFailedEvent"]["metadata"], "failed")
        elif "diagnosticEvent" in event:
            self._diagnostic(event["diagnosticEvent"])
        elif "preludeEvent" in event and "--show-config" in self.shown and not self.is_quiet:
            self._say("Configuration:")
            for key, text in sorted(event["preludeEvent"]["config"].items()):
                self._say(f"    {key}: {text}")
        elif "summaryEvent" in event:
            self.changes = event["summaryEvent"]["resourceChanges"]

    def _finished(self, metadata: dict[str, Any]) -> None:
        if is_default_provider(metadata["urn"]):
            return
        if (flag := _ON_REQUEST.get(metadata["op"])) and flag not in self.shown:
            return
        words = MARKS[metadata["op"]]
        self._line(metadata, words[2] if self.is_preview else words[1])
        if self.is_detailed and not self.is_quiet:
            for line in detail_lines(metadata):
                self._say(f"      {line}")

    def _say(self, line: str) -> None:
        if self.is_live:
            self._late.append(line)
        else:
            self.write(line)

    def _line(self, metadata: dict[str, Any], words: str) -> None:
        if self.is_quiet or (self.is_live and not self.is_detailed):
            return
        mark = MARKS[metadata["op"]][0]
        began = self._started.get((metadata["urn"], metadata["op"]), time.monotonic())
        elapsed_s = time.monotonic() - began
        took = f" ({elapsed_s:.1f}s)" if not self.is_preview and elapsed_s >= 0.05 else ""
        changed = (
            f" [diff: {','.join(metadata['diffs'])}]" if metadata.get("diffs") and metadata["op"] in ("update", "replace") else ""
        )
        urn = metadata["urn"]
        self._say(f" {mark:<2} {urn if '--urns' in self.shown else f'{urn_type(urn)} {urn_name(urn)}'} {words}{took}{changed}")

    def _diagnostic(self, body: dict[str, Any]) -> None:
        if body["ephemeral"]:
            return
        urn, message = body.get("urn") or "", body["message"].rstrip("\n")
        where = "" if not urn or urn_type(urn) == STACK_TYPE else f"{urn_type(urn)} ({urn_name(urn)}): "
        self._diagnostics.append((body["severity"], where, message))
        if self.is_quiet:
            return
        self._say(f"    {where}{body['prefix']}{message}" if where or body["prefix"] else f"    {message}")
        if body["severity"] == "error" and urn and (place := self.locate(urn)):
            self._say(f"      {place}")

    def summarise(self, duration_s: float, outputs: dict[str, tuple[Any, bool]]) -> None:
        """Outputs, counts, time."""
        if self.is_quiet:
            return
        for line in self._late:
            self.write(line)
        if outputs:
            self.write("Outputs:")
            for key, (value, _) in outputs.items():
                self.write(f"    {key}: {show(value)}")
        self.write("Resources:")
        for op, (mark, done, planned) in MARKS.items():
            if op != "same" and (count := self.changes.get(op)):
                self.write(f"    {mark} {count} {planned if self.is_preview else done}")
        unchanged = self.changes.get("same", 0)
        if unchanged or not self.changes:
            self.write(f"    {unchanged} unchanged")
        self.write(f"Duration: {max(1, round(duration_s))}s")


def show(value: Any) -> str:
    import json

    return json.dumps(value, sort_keys=True)  # Pulumi's own order: its maps are sorted wherever they are printed or stored
