"""A promotion's events on disk: append-only JSON lines, each synced before the caller goes on."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from infra.rollout.errors import JournalDamaged, PromotionRefused
from infra.rollout.events import Event, Record
from infra.rollout.plan import IllegalEvent, State, apply, start

STACK_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
SUFFIX = ".jsonl"


def stack_folder(rollouts: Path, stack: str) -> Path:
    """Where the stack's journals and lock lie; made, private to the user. Raises PromotionRefused on a name that is a path."""
    if not STACK_NAME.fullmatch(stack):
        raise PromotionRefused(f"stack: expected letters, digits, '-', '_' and '.', got {stack!r}")
    folder = rollouts / stack
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


class Journal:
    """One promotion's journal, open for appending. `state` is always the fold of what is on disk."""

    def __init__(self, path: Path, now: Callable[[], datetime], records: tuple[Record, ...], state: State) -> None:
        self.path = path
        self.state = state
        self._now = now
        self._count = len(records)

    @classmethod
    def create(cls, folder: Path, now: Callable[[], datetime], begun: Event) -> Journal:
        """A new journal with its first record on disk."""
        state = start(begun)
        path = folder / f"{state.begun.id}{SUFFIX}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.close(descriptor)
        journal = cls(path, now, (), state)
        journal._write(begun)
        _sync_folder(folder)  # else a power cut may leave a promotion under way without any journal
        return journal

    @classmethod
    def reopen(cls, path: Path, now: Callable[[], datetime]) -> Journal:
        """An existing journal. A last line that was cut by a crash is removed: what it announced was not begun."""
        records, length = read(path)
        if not records:
            raise JournalDamaged(f"{path}: no complete record")
        os.truncate(path, length)
        return cls(path, now, records, _folded(path, records))

    def append(self, event: Event) -> State:
        """Records the event and returns the state after it. On disk when this returns; raises IllegalEvent before writing."""
        state = apply(self.state, event)
        self._write(event)
        self.state = state
        return state

    def _write(self, event: Event) -> None:
        line = msgspec.json.encode(Record(self._count + 1, self._now(), event)) + b"\n"
        with self.path.open("ab", buffering=0) as file:
            begins = file.tell()
            try:
                if file.write(line) != len(line):
                    raise OSError(f"{self.path}: the disk took a part of a record only")
                os.fsync(file.fileno())
            except OSError:
                file.truncate(begins)
                raise
        self._count += 1


def read(path: Path) -> tuple[tuple[Record, ...], int]:
    """The complete records, and how many bytes they take. Raises JournalDamaged."""
    data = path.read_bytes()
    length = data.rfind(b"\n") + 1
    records = tuple(_parsed(path, number, line) for number, line in enumerate(data[:length].splitlines(), start=1))
    return records, length


def load(path: Path) -> tuple[State, tuple[Record, ...]]:
    """The state and its records, without touching the file. Raises JournalDamaged."""
    records, _ = read(path)
    if not records:
        raise JournalDamaged(f"{path}: no complete record")
    return _folded(path, records), records


def journals(folder: Path) -> Iterator[Path]:
    """The stack's journals, oldest first. One in which not even the first record is complete is skipped: nothing was begun."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if b"\n" in path.read_bytes():
            yield path


def latest(rollouts: Path, stack: str) -> tuple[State, tuple[Record, ...]] | None:
    """The stack's newest promotion; None when there never was one. Raises JournalDamaged."""
    paths = list(journals(rollouts / stack))
    return load(paths[-1]) if paths else None


def _parsed(path: Path, number: int, line: bytes) -> Record:
    try:
        record = msgspec.json.decode(line, type=Record)
    except msgspec.MsgspecError as exc:
        raise _damaged(path, number, str(exc)) from exc
    if record.number != number:
        raise _damaged(path, number, f"expected record {number}, got {record.number}")
    return record


def _folded(path: Path, records: tuple[Record, ...]) -> State:
    number = 1
    try:
        state = start(records[0].event)
        for record in records[1:]:
            number = record.number
            state = apply(state, record.event)
    except IllegalEvent as exc:
        raise _damaged(path, number, str(exc)) from exc
    return state


def _damaged(path: Path, number: int, reason: str) -> JournalDamaged:
    advice = "once every region is known to serve what it should, move the file out of its folder"
    return JournalDamaged(f"{path}:{number}: {reason}; {advice}")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
