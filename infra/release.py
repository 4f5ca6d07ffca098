"""Releases: the service and its locked dependencies as one archive, named by its content.

The same files give the same bytes, whatever their times, owners, place or the machine's zlib: entries are sorted, headers
normalised, and the gzip layer is written here with stored blocks (a compressor's output differs between zlib versions,
and the digest is the release's name on every machine). A release is never changed: promotion moves digests.

    <home>/releases/<hex>.tar.gz     the archive
    <home>/releases/<hex>.json       its manifest: digest and files

    ReleaseError
      +-- ReleaseMissing     a pinned release is not on this machine
      +-- ReleaseDamaged     an archive's content does not match its name
      +-- ReleaseChanged     the working copy is not what the preview showed
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import sys
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("service",)
SOURCE_VARIABLE = "CACHED_AUTH_SOURCE_RELEASE"
"""What `release: source` stands for: set for a preview and the deploy after it, so that both speak of the same files."""
LEFT_OUT = {"__pycache__", "tests"}
LEFT_OUT_SUFFIXES = {".pyc", ".pyo"}
FILE_BYTES_MAX = 16 * 1024 * 1024
BLOCK_BYTES_MAX = 65_535


class ReleaseError(Exception):
    """The message is one line and says the next step."""


class ReleaseMissing(ReleaseError):
    """See the module docstring."""


class ReleaseDamaged(ReleaseError):
    """See the module docstring."""


class ReleaseChanged(ReleaseError):
    """See the module docstring."""


@dataclass(frozen=True, slots=True)
class Release:
    """`digest` is `sha256:<hex>` of the archive at `path`."""

    digest: str
    path: Path


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a release; `name` is its path in the archive."""

    name: str
    mode: int
    content: bytes


def home_folder(environment: Mapping[str, str] = os.environ, root: Path = ROOT) -> Path:
    """CACHED_AUTH_HOME, or `.cached-auth` beside the clone."""
    return Path(environment.get("CACHED_AUTH_HOME") or root / ".cached-auth").expanduser().absolute()


def releases_folder(environment: Mapping[str, str] = os.environ, root: Path = ROOT) -> Path:
    return home_folder(environment, root) / "releases"


def collect(root: Path) -> list[Entry]:
    """The files of a release, sorted by name. ReleaseError for a link or an oversized file."""
    entries = []
    for part in PARTS:
        if not (root / part).is_dir():
            raise ReleaseError(f"{root / part}: expected a folder, found none; next: run from the clone")
        for path in sorted((root / part).rglob("*")):
            place = path.relative_to(root)
            if path.is_symlink():
                raise ReleaseError(f"{place}: expected a file, got a link; next: put the file itself there")
            if path.is_file() and is_shipped(place):
                entries.append(read_entry(path, place))
    return sorted(entries, key=lambda entry: entry.name)


def is_shipped(place: Path) -> bool:
    hidden = any(part in LEFT_OUT or part.startswith(".") for part in place.parts)
    return not hidden and place.suffix not in LEFT_OUT_SUFFIXES


def read_entry(path: Path, place: Path) -> Entry:
    status = path.stat()
    if status.st_size > FILE_BYTES_MAX:
        raise ReleaseError(f"{place}: expected at most {FILE_BYTES_MAX} bytes, got {status.st_size}; next: move it elsewhere")
    # Git keeps the executable bit and nothing else of a mode; neither do we.
    return Entry(place.as_posix(), 0o755 if status.st_mode & 0o100 else 0o644, path.read_bytes())


def archive(entries: list[Entry]) -> bytes:
    """A gzip-compressed tar; equal entries give equal bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            header = tarfile.TarInfo(entry.name)
            header.size, header.mode, header.mtime = len(entry.content), entry.mode, 0
            tar.addfile(header, io.BytesIO(entry.content))
    return stored_gzip(buffer.getvalue())


def stored_gzip(data: bytes) -> bytes:
    """gzip (RFC 1952) with stored blocks (RFC 1951, section 3.2.4): no time, no name, unknown system, no compression."""
    starts = range(0, len(data), BLOCK_BYTES_MAX) or range(1)
    blocks = [b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"]
    for start in starts:
        block = data[start : start + BLOCK_BYTES_MAX]
        is_last = start + BLOCK_BYTES_MAX >= len(data)
        blocks.append(struct.pack("<BHH", is_last, len(block), len(block) ^ 0xFFFF) + block)
    return b"".join(blocks) + struct.pack("<II", zlib.crc32(data), len(data) % 2**32)


def manifest(digest: str, entries: list[Entry]) -> str:
    files = [
        {
            "path": entry.name,
            "mode": f"{entry.mode:04o}",
            "bytes": len(entry.content),
            "sha256": hashlib.sha256(entry.content).hexdigest(),
        }
        for entry in entries
    ]
    return json.dumps({"digest": digest, "files": files}, indent=1) + "\n"


def write_at_once(path: Path, content: bytes) -> None:
    """The whole file or nothing, also when the machine stops in between. Equal content may be written by two at once."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def build_release(root: Path = ROOT, out_dir: Path | None = None) -> Release:
    """The working copy as a release in `out_dir` (default: the home's releases). Writes nothing where it is there already."""
    entries = collect(root)
    content = archive(entries)
    hexadecimal = hashlib.sha256(content).hexdigest()
    release = Release(f"sha256:{hexadecimal}", (out_dir or releases_folder()) / f"{hexadecimal}.tar.gz")
    note = release.path.with_name(f"{hexadecimal}.json")
    if not (note.exists() and release.path.exists() and digest_of(release.path) == release.digest):
        release.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_at_once(release.path, content)
        write_at_once(note, manifest(release.digest, entries).encode())  # last: with the manifest the release is complete
    return release


def source_release(root: Path, environment: Mapping[str, str] = os.environ) -> Release:
    """The working copy; or what SOURCE_VARIABLE says it was when somebody looked at the preview."""
    pinned = environment.get(SOURCE_VARIABLE)
    return find_release(pinned) if pinned else build_release(root)


def digest_of(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def find_release(digest: str, out_dir: Path | None = None) -> Release:
    """A release that was built before. ReleaseMissing; ReleaseDamaged where its bytes no longer match the name."""
    path = (out_dir or releases_folder()) / f"{digest.removeprefix('sha256:')}.tar.gz"
    if not path.exists():
        raise ReleaseMissing(
            f"release {digest}: not in {path.parent}; next: copy {path.name} there from the machine that built it, "
            "or check out its commit and run ./cached-auth release build"
        )
    if (found := digest_of(path)) != digest:
        raise ReleaseDamaged(f"release {digest}: the content of {path} is {found}; next: rm {path} and build or copy it again")
    return Release(digest, path)


def main(arguments: list[str]) -> int:
    """`python -m infra.release build` prints the digest; 0 done, 1 failed, 2 wrong usage."""
    if arguments != ["build"]:
        print(f"infra.release: expected `build`, got {' '.join(arguments) or 'nothing'}", file=sys.stderr)
        return 2
    try:
        print(build_release().digest)
    except (ReleaseError, OSError) as error:
        print(f"infra.release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
