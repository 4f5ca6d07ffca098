"""Hashes of assets and archives, byte for byte as Pulumi's engine makes them, so that either engine finds them unchanged.

An asset's hash is that of its bytes. An archive that is a file is hashed as it lies there; any other one (a folder, a map of
assets) as the tar stream that Go's archive/tar would write of it: sdk/go/common/resource/archive/archive.go.
"""

import hashlib
import os
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from infra.engine.errors import UsageError
from infra.engine.model.values import ARCHIVE_SIGNATURE, SIGNATURE_KEY

_ARCHIVES: Final = (".tar", ".tgz", ".tar.gz", ".zip", ".jar")
_BLOCK: Final = 512
_NAME_MAX, _PREFIX_MAX = 100, 155
_FILE, _RECORDS = b"0", b"x"
_BOOKKEEPING: Final = ".pulumi"
_CHUNK: Final = 1 << 20

# Relative paths count from here: the program's folder. One process runs one program, so one value serves.
_folder = [Path()]


def count_paths_from(folder: Path) -> None:
    _folder[0] = folder


def with_hash(asset: dict[str, Any]) -> dict[str, Any]:
    """The asset or archive with a `hash` of its content. Remote content (http) has none: nothing is fetched here.

    Raises UsageError where a file cannot be read."""
    if asset.get("hash"):
        return asset
    try:
        digest = _archive_digest(asset) if asset.get(SIGNATURE_KEY) == ARCHIVE_SIGNATURE else _asset_digest(asset)
    except (OSError, tarfile.TarError, zipfile.BadZipFile) as exc:
        raise UsageError(f"cannot hash the asset or archive {asset.get('path') or asset.get('uri') or ''!r}: {exc}") from exc
    return {**asset, "hash": digest} if digest else asset


def _local(asset: dict[str, Any]) -> Path | None:
    """The file or folder that the asset names; None for text, a map or something remote."""
    if path := asset.get("path"):
        return _folder[0] / str(path)
    url = urlsplit(str(asset.get("uri") or ""))
    return Path(unquote(url.path)) if url.scheme == "file" and url.netloc in ("", "localhost") else None


def _asset_digest(asset: dict[str, Any]) -> str:
    path = _local(asset)
    if path is not None:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return "" if asset.get("uri") else hashlib.sha256(str(asset.get("text") or "").encode()).hexdigest()


def _archive_digest(archive: dict[str, Any]) -> str:
    path = _local(archive)
    if path is not None and path.name.endswith(_ARCHIVES):
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if path is None and archive.get("uri"):
        return ""
    digest, seen = hashlib.sha256(), set()
    for name, size, chunks in _members(archive):
        if name not in seen:
            seen.add(name)
            digest.update(_header(name, size))
            for chunk in chunks:
                digest.update(chunk)
            digest.update(b"\0" * (-size % _BLOCK))
    digest.update(b"\0" * 2 * _BLOCK)
    return digest.hexdigest()


Member = tuple[str, int, Iterator[bytes]]


def _members(archive: dict[str, Any]) -> Iterator[Member]:
    """(name, size, content) of each file, in Pulumi's order: names sorted, at every level."""
    path = _local(archive)
    if path is None:
        for name, part in sorted((archive.get("assets") or {}).items()):
            if part.get(SIGNATURE_KEY) == ARCHIVE_SIGNATURE:
                for inner, size, chunks in _members(part):
                    yield str(PurePosixPath(os.path.normpath(f"{name}/{inner}"))), size, chunks
            else:
                yield name, *_content(part)
    elif path.name.endswith((".zip", ".jar")):
        yield from _of_zip(path)
    elif path.name.endswith(_ARCHIVES):
        yield from _of_tar(path)
    else:
        for file in _files(path):
            yield file.relative_to(path).as_posix(), file.stat().st_size, _read(file)


def _content(asset: dict[str, Any]) -> tuple[int, Iterator[bytes]]:
    path = _local(asset)
    if path is not None:
        return path.stat().st_size, _read(path)
    text = str(asset.get("text") or "").encode()
    return len(text), iter((text,))


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _files(folder: Path) -> Iterator[Path]:
    """As filepath.Walk goes: sorted by name in each folder; links to files are followed, links to folders left out."""
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.name == _BOOKKEEPING:
            continue
        if entry.is_dir():
            if not entry.is_symlink():
                yield from _files(entry)
        else:
            yield entry


def _of_tar(path: Path) -> Iterator[Member]:
    with tarfile.open(path) as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is not None:
                yield os.path.normpath(member.name), member.size, iter((file.read(),))


def _of_zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                yield os.path.normpath(info.filename), info.file_size, iter((archive.read(info),))


def _header(name: str, size: int) -> bytes:
    """As Go's archive/tar writes it for {Name, Mode: 0600, Size}: USTAR, with PAX records before it for names that do not fit."""
    if name.isascii():
        if len(name) <= _NAME_MAX:
            return _block(name, 0o600, size, _FILE)
        prefix, suffix = _split(name)
        if prefix:
            return _block(suffix, 0o600, size, _FILE, prefix)
    bare = name.encode("ascii", "ignore").decode()
    folder, _, file = name.rpartition("/")
    record = _record("path", name)
    extended = os.path.normpath(f"{folder}/PaxHeaders.0/{file}") if folder else f"PaxHeaders.0/{file}"
    head = _block(extended.encode("ascii", "ignore").decode()[:_NAME_MAX].rstrip("/"), 0, len(record), _RECORDS)
    return head + record + b"\0" * (-len(record) % _BLOCK) + _block(bare[:_NAME_MAX], 0o600, size, _FILE)


def _split(name: str) -> tuple[str, str]:
    """splitUSTARPath: the longest prefix that fits, ("", "") where none does."""
    length = min(len(name), _PREFIX_MAX + 1)
    at = name.rfind("/", 0, length)
    suffix = len(name) - at - 1
    return (name[:at], name[at + 1 :]) if at > 0 and 0 < suffix <= _NAME_MAX and at <= _PREFIX_MAX else ("", "")


def _record(key: str, value: str) -> bytes:
    """formatPAXRecord: the length in front counts itself."""
    body = f" {key}={value}\n".encode()
    size = len(body) + len(str(len(body)))
    size = len(body) + len(str(size))
    return str(size).encode() + body


def _block(name: str, mode: int, size: int, kind: bytes, prefix: str = "") -> bytes:
    number = b"%07o\0" % 0
    fields = (
        name.encode().ljust(100, b"\0"),
        b"%07o\0" % mode,
        number * 2,  # user and group
        b"%011o\0" % size,
        b"%011o\0" % 0,  # time
        b" " * 8,  # the sum is taken with blanks in its place
        kind.ljust(101, b"\0"),
        b"ustar\x0000".ljust(72, b"\0"),
        number * 2 if kind == _FILE else b"\0" * 16,  # device; Go leaves it out of the records' header
        prefix.encode(),
    )
    block = b"".join(fields).ljust(_BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]
