"""The tree on a terminal: one row per resource that has something to do, redrawn in place while it happens.

`Tree` is pure: events and times in, lines out. `Screen` draws: it moves the cursor up over what it drew before. More rows
than the terminal has lines are cut to those at work or failed; at the end all are printed once.
"""

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from infra.engine.display.events import Event
from infra.engine.display.lines import MARKS
from infra.engine.model.urns import STACK_TYPE, is_default_provider, urn_name, urn_type

REDRAW_S: Final = 0.1
_DOING: Final = {
    "create": "creating",
    "update": "updating",
    "delete": "deleting",
    "replace": "replacing",
    "create-replacement": "creating replacement",
    "delete-replaced": "deleting original",
    "read": "reading",
    "refresh": "refreshing",
    "import": "importing",
}


@dataclass(slots=True)
class Row:
    """One resource: what is or was done to it. Times are of a monotonic clock, in seconds."""

    urn: str
    parent: str
    op: str
    began_s: float
    ended_s: float | None = None
    is_failed: bool = False
    diffs: list[str] = field(default_factory=list)
    warnings: int = 0
    errors: int = 0

    @property
    def is_shown(self) -> bool:
        """Resources that stay as they are take no line, unless they have something to say; the stack heads the tree."""
        is_quiet = self.op in ("same", "read") and self.ended_s is not None and not (self.warnings or self.errors)
        return not is_quiet or urn_type(self.urn) == STACK_TYPE


class Tree:
    """The rows of one update."""

    def __init__(self, is_preview: bool) -> None:
        self._is_preview = is_preview
        self._rows: dict[str, Row] = {}

    def on_event(self, event: Event, now_s: float) -> None:
        if body := event.get("resourcePreEvent"):
            self._started(body["metadata"], now_s)
        elif body := event.get("resOutputsEvent") or event.get("resOpFailedEvent"):
            self._started(body["metadata"], now_s)
            row = self._rows.get(body["metadata"]["urn"])
            if row is not None:
                row.ended_s = now_s
                row.is_failed = "resOpFailedEvent" in event
                row.diffs = body["metadata"].get("diffs") or row.diffs
        elif (body := event.get("diagnosticEvent")) and (row := self._rows.get(body.get("urn") or "")):
            row.warnings += body["severity"] == "warning"
            row.errors += body["severity"] == "error"

    def _started(self, metadata: dict[str, Any], now_s: float) -> None:
        urn = metadata["urn"]
        if is_default_provider(urn):
            return
        state = metadata.get("new") or metadata.get("old") or {}
        row = self._rows.setdefault(urn, Row(urn, state.get("parent") or "", metadata["op"], now_s))
        if row.ended_s is not None and row.op == "replace" and metadata["op"].endswith(("replacement", "replaced")):
            row.ended_s = None  # the parts of a replacement are one row
        elif row.op == "refresh" or row.op == "same":
            row.op = metadata["op"]

    def lines(self, now_s: float, height: int, width: int) -> list[str]:
        """At most `height` lines of at most `width` characters."""
        rows = [(row, depth) for row, depth in self._ordered() if row.is_shown]
        if len(rows) > height:
            busy = [(row, depth) for row, depth in rows if row.ended_s is None or row.is_failed]
            hidden = len(rows) - len(busy[: height - 1])
            text = [self._line(row, depth, now_s) for row, depth in busy[: height - 1]]
            return [line[:width] for line in [*text, f"    ... and {hidden} more"]]
        return [self._line(row, depth, now_s)[:width] for row, depth in rows]

    def _ordered(self) -> list[tuple[Row, int]]:
        """Children below their parents, each level in the order of appearance."""
        children: dict[str, list[Row]] = {}
        for row in self._rows.values():
            children.setdefault(row.parent if row.parent in self._rows else "", []).append(row)
        ordered: list[tuple[Row, int]] = []
        waiting = [(row, 0) for row in reversed(children.get("", []))]
        while waiting:
            row, depth = waiting.pop()
            ordered.append((row, depth))
            waiting += [(child, depth + 1) for child in reversed(children.get(row.urn, []))]
        return ordered

    def _line(self, row: Row, depth: int, now_s: float) -> str:
        mark, done, planned = MARKS[row.op]
        if row.is_failed:
            words = f"**{_DOING.get(row.op, row.op)} failed**"
        elif row.ended_s is None:
            words = f"{_DOING.get(row.op, row.op)}..."
        else:
            words = planned if self._is_preview else done
        took_s = (now_s if row.ended_s is None else row.ended_s) - row.began_s
        took = f" ({took_s:.0f}s)" if not self._is_preview and took_s >= 1 else ""
        told = "".join(f"; {n} {what}{'s' * (n > 1)}" for n, what in ((row.errors, "error"), (row.warnings, "warning")) if n)
        diffs = f" [diff: {','.join(row.diffs)}]" if row.diffs and row.op in ("update", "replace") else ""
        return f" {mark:<2} {'   ' * depth}{urn_type(row.urn)} {urn_name(row.urn)} {words}{took}{diffs}{told}"


class Screen:
    """Draws a tree until it is closed. `write` takes text as it is, control sequences included."""

    def __init__(self, tree: Tree, write: Callable[[str], object]) -> None:
        self._tree = tree
        self._write = write
        self._drawn = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def on_event(self, event: Event) -> None:
        with self._lock:
            self._tree.on_event(event, time.monotonic())

    def close(self) -> None:
        """Draws the last state, in full."""
        self._closed.set()
        self._thread.join()
        self._draw(10**6)

    def _run(self) -> None:
        while not self._closed.wait(REDRAW_S):
            self._draw(shutil.get_terminal_size().lines - 1)

    def _draw(self, height: int) -> None:
        with self._lock:
            lines = self._tree.lines(time.monotonic(), height, shutil.get_terminal_size().columns)
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        self._write(up + "\x1b[J" + "".join(f"{line}\n" for line in lines))
        self._drawn = len(lines)
