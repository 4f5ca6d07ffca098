"""A release is its content: the same files give the same bytes everywhere, other files another name."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from infra.release import (
    ROOT,
    Release,
    ReleaseDamaged,
    ReleaseError,
    ReleaseMissing,
    build_release,
    find_release,
    main,
    releases_folder,
    stored_gzip,
)

FILES = {"service/__init__.py": b"", "service/web/app.py": b"app = 1\n", "service/requirements.lock": b"a==1\n"}


def source(root: Path, files: Mapping[str, bytes] = FILES, mtime_s: int = 1_700_000_000) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (mtime_s, mtime_s))
    return root


def built(root: Path) -> Release:
    return build_release(root, root / "out")


def test_two_copies_with_other_times_give_the_same_bytes(tmp_path: Path) -> None:
    one = built(source(tmp_path / "one", mtime_s=1))
    two = built(source(tmp_path / "two", dict(reversed(FILES.items())), mtime_s=2_000_000_000))
    assert one.digest == two.digest
    assert one.path.read_bytes() == two.path.read_bytes()


def test_the_digest_is_the_sha256_of_the_archive(tmp_path: Path) -> None:
    release = built(source(tmp_path))
    assert release.digest == f"sha256:{hashlib.sha256(release.path.read_bytes()).hexdigest()}"
    assert release.path.name == f"{release.digest.removeprefix('sha256:')}.tar.gz"


@pytest.mark.parametrize(
    "change", [{"service/web/app.py": b"app = 2\n"}, {"service/new.py": b""}, {"service/migrations/1.sql": b"select 1"}]
)
def test_other_content_is_another_release(tmp_path: Path, change: dict[str, bytes]) -> None:
    assert built(source(tmp_path / "one")).digest != built(source(tmp_path / "two", {**FILES, **change})).digest


def test_what_a_replica_does_not_need_does_not_count(tmp_path: Path) -> None:
    """Otherwise every test run, which leaves __pycache__ behind, would be a new release."""
    names = ("service/__pycache__/x.pyc", "service/web/x.pyc", "service/tests/test_x.py", "service/.DS_Store")
    extra = dict.fromkeys(names, b"1")
    assert built(source(tmp_path / "one")).digest == built(source(tmp_path / "two", {**FILES, **extra})).digest


def test_entries_are_sorted_and_carry_nothing_of_this_machine(tmp_path: Path) -> None:
    root = source(tmp_path)
    (root / "service/web/app.py").chmod(0o770)
    with tarfile.open(built(root).path) as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == sorted(FILES)
    assert {(member.mtime, member.uid, member.gid, member.uname, member.gname) for member in members} == {(0, 0, 0, "", "")}
    assert {member.name: member.mode for member in members}["service/web/app.py"] == 0o755
    assert {member.mode for member in members if member.name != "service/web/app.py"} == {0o644}


@pytest.mark.parametrize("size", [0, 1, 65_534, 65_535, 65_536, 131_070, 200_000])
def test_stored_gzip_is_gzip(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    assert gzip.decompress(stored_gzip(data[:size])) == data[:size]


def test_building_again_writes_nothing(tmp_path: Path) -> None:
    root = source(tmp_path)
    before = built(root).path.stat()
    after = built(root).path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert sorted(path.suffix for path in (root / "out").iterdir()) == [".gz", ".json"]


def test_a_torn_archive_is_built_again(tmp_path: Path) -> None:
    """A machine that lost power may leave a file of the right name and the wrong content."""
    root = source(tmp_path)
    release = built(root)
    release.path.write_bytes(b"torn")
    with pytest.raises(ReleaseDamaged, match="next: rm"):
        find_release(release.digest, root / "out")
    assert built(root) == find_release(release.digest, root / "out")


def test_the_manifest_lists_every_file_with_its_digest(tmp_path: Path) -> None:
    release = built(source(tmp_path))
    note = json.loads(release.path.with_name(release.path.name.replace(".tar.gz", ".json")).read_text())
    assert note["digest"] == release.digest
    assert {file["path"]: file["sha256"] for file in note["files"]} == {
        name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()
    }


def test_a_link_is_refused(tmp_path: Path) -> None:
    root = source(tmp_path)
    (root / "service/link.py").symlink_to("/etc/hostname")
    with pytest.raises(ReleaseError, match=r"service/link\.py: expected a file, got a link"):
        built(root)


def test_a_missing_release_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ReleaseMissing, match=r"next: copy a+\.tar\.gz there .* or check out its commit"):
        find_release("sha256:" + "a" * 64, tmp_path)


def test_releases_live_in_the_home(tmp_path: Path) -> None:
    assert releases_folder({"CACHED_AUTH_HOME": str(tmp_path)}) == tmp_path / "releases"
    assert releases_folder({}, tmp_path) == tmp_path / ".cached-auth" / "releases"


def test_the_module_prints_the_digest_of_the_real_service(tmp_path: Path) -> None:
    """The clone itself can be released: no link, no oversized file, and the lock and the Dockerfile are inside."""
    command = [sys.executable, "-m", "infra.release", "build"]
    home = {"CACHED_AUTH_HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=home, capture_output=True, text=True, timeout=60, check=True)
    release = find_release(done.stdout.strip(), tmp_path / "releases")
    with tarfile.open(fileobj=io.BytesIO(release.path.read_bytes())) as tar:
        names = tar.getnames()
    assert {"service/requirements.lock", "service/Dockerfile", "service/__init__.py"} <= set(names)
    assert not [name for name in names if "__pycache__" in name]


def test_wrong_usage_of_the_module_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["make"]) == 2
    assert "expected `build`, got make" in capsys.readouterr().err
