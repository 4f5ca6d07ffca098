"""Release bundles: unpacked without trust, and matched with an interpreter that has their dependencies.

A bundle is somebody's tar file: names that leave the tree, links that do, devices, and sizes without end are refused
before anything of them is written.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import re
import shutil
import sys
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from infra.localcloud.plane.interface import BuildFailed

LOCK = PurePosixPath("service/requirements.lock")
ARCHIVE_BYTES_MAX = 64 * 1024 * 1024
BYTES_MAX = 256 * 1024 * 1024
FILES_MAX = 20_000
INSTALL_TIMEOUT_S = 600.0
DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


class Bundles:
    """Under `directory`: bundles/<digest>/ and venvs/<digest of the lock>/."""

    def __init__(self, directory: Path) -> None:
        self._bundles, self._venvs = directory / "bundles", directory / "venvs"
        self._lock = asyncio.Lock()
        self._satisfied: dict[str, bool] = {}  # by the lock's digest; our own environment does not change under us

    async def prepare(self, archive: Path, digest: str) -> Path:
        """The unpacked tree of `archive`, whose SHA-256 must be `digest`; unpacked once. BuildFailed."""
        name = _hexadecimal(digest)
        target = self._bundles / name
        async with self._lock:
            is_new = not target.exists()
            if is_new:
                await asyncio.to_thread(_unpack_checked, archive, name, target)
            lock = target / LOCK
            if lock.exists() and not self._is_satisfied(lock):
                await self._make_venv(lock)
            if is_new:
                await _compile(self.python_for(target), target)
        return target

    def python_for(self, bundle: Path) -> Path:
        """The interpreter for a prepared bundle."""
        lock = bundle / LOCK
        if not lock.exists() or self._is_satisfied(lock):
            return Path(sys.executable)
        return self._venv_of(lock) / "bin" / "python"

    def _is_satisfied(self, lock: Path) -> bool:
        digest = _digest_of(lock)
        if digest not in self._satisfied:
            self._satisfied[digest] = not missing_pins(lock.read_text(encoding="utf-8"))
        return self._satisfied[digest]

    def _venv_of(self, lock: Path) -> Path:
        return self._venvs / _digest_of(lock)[:32]

    async def _make_venv(self, lock: Path) -> None:
        venv = self._venv_of(lock)
        if (venv / "complete").exists():
            return
        shutil.rmtree(venv, ignore_errors=True)
        venv.parent.mkdir(parents=True, exist_ok=True)
        # Ours installs into it: one of its own would take longer to make than most locks, and the service has no use for it.
        await _run(sys.executable, "-m", "venv", "--without-pip", str(venv))
        pip = (sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "install")
        quietly = ("--quiet", "--disable-pip-version-check", "--no-input")
        await _run(*pip, *quietly, "--require-hashes", "--no-deps", "-r", str(lock))
        (venv / "complete").touch()


def _digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _hexadecimal(digest: str) -> str:
    match = DIGEST.fullmatch(digest)
    if match is None:
        raise BuildFailed(f"bundle digest {digest[:80]!r}: expected sha256:<64 hexadecimal digits>")
    return match[1]


def _unpack_checked(archive: Path, name: str, target: Path) -> None:
    if not archive.is_file() or archive.stat().st_size > ARCHIVE_BYTES_MAX:
        raise BuildFailed(f"bundle {archive.name}: expected a file of at most {ARCHIVE_BYTES_MAX} bytes")
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != name:
        raise BuildFailed(f"bundle {archive.name}: expected digest sha256:{name}, got sha256:{found}; build the release again")
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, mode=0o700)
    try:
        unpack(archive, partial)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    partial.rename(target)


def unpack(archive: Path, target: Path) -> None:
    """Unpacks into the empty directory `target`. BuildFailed on anything but plain files and directories inside it."""
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in _checked(tar):
                place = target / member.name
                if member.isdir():
                    place.mkdir(parents=True, exist_ok=True, mode=0o755)
                    continue
                place.parent.mkdir(parents=True, exist_ok=True)
                source = tar.extractfile(member)
                assert source is not None
                with source, place.open("xb") as copy:
                    shutil.copyfileobj(source, copy)
                place.chmod(0o755 if member.mode & 0o100 else 0o644)
    except (tarfile.TarError, EOFError, OSError, UnicodeError) as exc:
        raise BuildFailed(f"bundle {archive.name}: not a readable tar archive ({exc})") from exc


def _checked(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Each member after its check, with the sums so far: the header is read before the content is."""
    total = 0
    for count, member in enumerate(tar, start=1):
        total += member.size
        if count > FILES_MAX or total > BYTES_MAX:
            raise BuildFailed(f"bundle: expected at most {FILES_MAX} files and {BYTES_MAX} bytes unpacked")
        yield _checked_member(member)


def _checked_member(member: tarfile.TarInfo) -> tarfile.TarInfo:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\\" in member.name or "\0" in member.name:
        raise BuildFailed(f"bundle member {member.name[:200]!r}: leaves the tree")
    if not (member.isfile() or member.isdir()):
        # A link inside the tree would be safe, yet our own bundles hold none: the shorter rule is the safer one.
        raise BuildFailed(f"bundle member {member.name[:200]!r}: only files and directories are allowed, no links or devices")
    return member


async def _compile(python: Path, tree: Path) -> None:
    """Once here, as an image's build does, else every replica compiles the release while its health is waited for. In another
    process: the source is somebody's. What does not compile is not this step's to refuse; the program may never import it."""
    with suppress(BuildFailed):
        await _run(str(python), "-I", "-m", "compileall", "-q", str(tree))


def missing_pins(lock_text: str) -> list[str]:
    """`name==version` of every pin that this interpreter's environment does not satisfy; markers are respected."""
    missing = []
    for requirement in pins(lock_text):
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            version = importlib.metadata.version(canonicalize_name(requirement.name))
        except importlib.metadata.PackageNotFoundError:
            missing.append(str(requirement))
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            missing.append(str(requirement))
    return missing


def pins(lock_text: str) -> list[Requirement]:
    """The requirements of a pip lock file: continuation lines joined, hashes, comments and options left out."""
    found = []
    for line in re.sub(r"\\\r?\n", " ", lock_text).splitlines():
        text = re.sub(r"(^|\s)#.*$", "", line).split(" --hash", 1)[0].strip()
        if not text or text.startswith("-"):
            continue
        try:
            found.append(Requirement(text))
        except InvalidRequirement as exc:
            raise BuildFailed(f"{LOCK}: {text[:120]!r}: {exc}") from exc
    return found


async def _run(*argv: str) -> None:
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    try:
        async with asyncio.timeout(INSTALL_TIMEOUT_S):
            output, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        tail = output.decode("utf-8", "replace").strip().splitlines()[-5:]
        raise BuildFailed(f"{' '.join(argv[1:4])}: exit code {process.returncode}: {' | '.join(tail)}")
