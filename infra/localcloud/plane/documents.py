"""What we keep on disk: small JSON documents, replaced whole so that a reader never sees half of one."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import TypeVar

import msgspec

from infra.localcloud.plane.interface import PlaneError

Kind = TypeVar("Kind")


def write_document(path: Path, document: object, mode: int = 0o600) -> None:
    """Writes `document` as JSON beside `path` and renames it into place; the directory must exist."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(document), indent=1))
    beside.replace(path)


def flush_filesystem(path: Path) -> None:
    """Brings everything written so far on the file system of `path` to its disk. Blocks; a path that is gone is nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        syncfs = getattr(ctypes.CDLL(None), "syncfs", None)
        if syncfs is None or syncfs(descriptor) != 0:
            os.sync()
    finally:
        os.close(descriptor)


def read_document(path: Path, kind: type[Kind], default: Kind) -> Kind:
    """The document at `path`, or `default` where there is none. PlaneError for one that cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return default
    except msgspec.MsgspecError as exc:
        raise PlaneError(f"{path}: {exc}; move it away to begin anew") from exc
