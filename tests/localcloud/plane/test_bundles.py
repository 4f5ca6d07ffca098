"""Bundles: attacks by tar file, and which interpreter has what a lock asks for."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import io
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from infra.localcloud.plane import bundles as bundles_module
from infra.localcloud.plane.bundles import Bundles, missing_pins, pins, unpack
from infra.localcloud.plane.interface import BuildFailed


def archive_of(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


ATTACKS = {
    "absolute": member("/etc/owned"),
    "upwards": member("../owned"),
    "upwards inside": member("a/../../owned"),
    "upwards by backslash": member("..\\owned"),
    "symbolic link out": member("a", tarfile.SYMTYPE, "/etc"),
    "symbolic link in": member("a", tarfile.SYMTYPE, "b"),
    "hard link": member("a", tarfile.LNKTYPE, "/etc/passwd"),
    "device": member("a", tarfile.CHRTYPE),
    "pipe": member("a", tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_nothing_leaves_the_tree(tmp_path: Path, attack: tarfile.TarInfo) -> None:
    target = tmp_path / "in" / "target"
    target.mkdir(parents=True)
    with pytest.raises(BuildFailed):
        unpack(archive_of(tmp_path / "bundle.tar.gz", (attack, b"")), target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle.tar.gz", "in"]
    assert list(target.iterdir()) == []


def test_a_name_given_twice_is_refused(tmp_path: Path) -> None:
    """What is reviewed first must not be replaced by what comes later."""
    (tmp_path / "target").mkdir()
    archive = archive_of(tmp_path / "bundle.tar.gz", (member("a"), b"1"), (member("a"), b"2"))
    with pytest.raises(BuildFailed):
        unpack(archive, tmp_path / "target")


def test_a_bomb_is_stopped_by_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles_module, "BYTES_MAX", 1000)
    (tmp_path / "target").mkdir()
    with pytest.raises(BuildFailed, match="1000 bytes"):
        unpack(archive_of(tmp_path / "bundle.tar.gz", (member("a"), b"0" * 2000)), tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles_module, "FILES_MAX", 3)
    (tmp_path / "target").mkdir()
    with pytest.raises(BuildFailed, match="3 files"):
        unpack(archive_of(tmp_path / "b.tar.gz", *[(member(str(number)), b"") for number in range(4)]), tmp_path / "target")


@pytest.mark.parametrize("content", [b"", b"not a tar", b"\x1f\x8b\x08\x00 broken"])
def test_what_is_no_archive_is_a_failed_build(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "bundle.tar.gz").write_bytes(content)
    with pytest.raises(BuildFailed):
        unpack(tmp_path / "bundle.tar.gz", tmp_path / "target")


def digest_of(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


@pytest.mark.anyio
async def test_a_bundle_is_unpacked_once_and_runs_with_this_interpreter_where_it_can(tmp_path: Path) -> None:
    version = importlib.metadata.version("msgspec")
    archive = archive_of(
        tmp_path / "bundle.tar.gz",
        (member("service/__main__.py"), b"print('hello')"),
        (member("service/never_imported.py"), b"this is no Python"),
        (member("service/requirements.lock"), f"msgspec=={version} \\\n    --hash=sha256:00\n".encode()),
    )
    bundles = Bundles(tmp_path / "cloud")
    first = await bundles.prepare(archive, digest_of(archive))
    assert (first / "service" / "__main__.py").read_bytes() == b"print('hello')"
    assert list(first.glob("service/__pycache__/__main__.*.pyc")), "the first start would have to compile it"
    assert bundles.python_for(first) == Path(sys.executable)
    (first / "mark").touch()
    assert (await bundles.prepare(archive, digest_of(archive)) / "mark").exists()


@pytest.mark.anyio
async def test_a_bundle_that_is_not_its_digest_is_refused(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "bundle.tar.gz", (member("a"), b""))
    with pytest.raises(BuildFailed, match="expected digest"):
        await Bundles(tmp_path / "cloud").prepare(archive, "sha256:" + "0" * 64)
    with pytest.raises(BuildFailed, match="expected sha256"):
        await Bundles(tmp_path / "cloud").prepare(archive, "../../etc")


@pytest.mark.parametrize(
    ("lock", "missing"),
    [
        ("", []),
        ("# a comment\n-i somewhere\n--hash=sha256:0\n", []),
        ("no-such-package==1.0\n", ["no-such-package==1.0"]),
        ("msgspec==0.0.1\n", ["msgspec==0.0.1"]),
        ('no-such-package==1.0 ; sys_platform == "win32"\n', []),
        ("no-such-package==1.0 \\\n    --hash=sha256:0 \\\n    --hash=sha256:1\n    # via somebody\n", ["no-such-package==1.0"]),
    ],
)
def test_a_pin_is_satisfied_by_version_and_marker(lock: str, missing: list[str]) -> None:
    assert missing_pins(lock) == missing


def test_a_line_that_is_no_requirement_fails_the_build() -> None:
    with pytest.raises(BuildFailed, match="requirements"):
        pins("== what\n")


def wheel(directory: Path) -> tuple[Path, str]:
    """A package that no environment has, and its digest."""
    path = directory / "cached_auth_tiny-1.0-py3-none-any.whl"
    info = "cached_auth_tiny-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cached_auth_tiny.py", "VALUE = 7\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: cached-auth-tiny\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.anyio
@pytest.mark.story
async def test_a_lock_that_this_environment_lacks_gets_one_of_its_own_by_hash(tmp_path: Path) -> None:
    _, digest = wheel(tmp_path)

    def bundle(name: str, hexadecimal: str) -> Path:
        lock = f"--no-index\n--find-links {tmp_path}\ncached-auth-tiny==1.0 \\\n    --hash=sha256:{hexadecimal}\n"
        return archive_of(tmp_path / name, (member("service/requirements.lock"), lock.encode()))

    bundles = Bundles(tmp_path)
    good, forged = bundle("good.tar.gz", digest), bundle("forged.tar.gz", "0" * 64)
    unpacked = await bundles.prepare(good, digest_of(good))
    python = bundles.python_for(unpacked)
    assert python != Path(sys.executable)
    process = await asyncio.create_subprocess_exec(python, "-c", "import cached_auth_tiny as t; raise SystemExit(t.VALUE)")
    assert await process.wait() == 7
    with pytest.raises(BuildFailed, match="pip"):
        await bundles.prepare(forged, digest_of(forged))
