"""world.json: read whole, written whole. A reader sees the old or the new one, also after a power cut.

StoreError
  +-- StoreDamaged    the file is there but cannot be understood; nothing is overwritten
  +-- StoreFull       there is no room; the old file is untouched
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec

from infra.localcloud.world.model import World

VERSION = 1


class StoreError(Exception):
    """The message is one line and names the next step."""


class StoreDamaged(StoreError):
    pass


class StoreFull(StoreError):
    pass


class Store:
    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> World:
        """The stored world, or an empty one where there is no file yet. StoreDamaged."""
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return World()
        try:
            world = msgspec.json.decode(text, type=World)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            # msgspec's message holds a path and types, never a value.
            raise StoreDamaged(f"{self.path} is damaged ({exc}); restore it, or start over: {self._reset()}") from exc
        if world.version != VERSION:
            raise StoreDamaged(f"{self.path}: expected version {VERSION}, got {world.version}; start over: {self._reset()}")
        return world

    def write(self, world: World) -> None:
        """Atomic and durable: a temporary file, fsync, rename, fsync of the directory. StoreFull, OSError."""
        partial = self.path.with_name(f"{self.path.name}.partial")
        try:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(world))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)
            _fsync_directory(self.path.parent)
        except OSError as exc:
            partial.unlink(missing_ok=True)
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFull(f"no space left for {self.path}: free some and try again; nothing was changed") from exc
            raise

    def _reset(self) -> str:
        return f"python -m infra.localcloud reset --home {self.path.parent.parent}"


def _fsync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
