"""The file backend: forms of the state file, names, history."""

import json
import os
from pathlib import Path

import pytest

from infra.engine.errors import NoSuchStack, StateError, UsageError
from infra.engine.model.stack_name import StackName
from infra.engine.state.backend import FileBackend

DEV = StackName("shop", "dev")


def backend(folder: Path, *, is_gzip: bool = False) -> FileBackend:
    return FileBackend.from_url(f"file://{folder}", is_gzip=is_gzip)


def test_either_form_is_read_and_one_is_left(tmp_path: Path) -> None:
    """A folder used in turn by engines with and without PULUMI_DIY_BACKEND_GZIP holds one state, not two."""
    plain, packed = backend(tmp_path), backend(tmp_path, is_gzip=True)
    plain.create(DEV, "one")
    assert packed.read(DEV) == "one"
    packed.write(DEV, "two")
    packed.add_history(DEV, {"kind": "update"})
    assert plain.read(DEV) == "two"
    assert [f.name for f in (tmp_path / ".pulumi/stacks/shop").iterdir()] == ["dev.json.gz"]
    assert plain.stacks(None) == [DEV]
    plain.back_up(DEV)
    plain.write(DEV, "three")
    plain.add_history(DEV, {"kind": "destroy"})
    assert sorted(f.name for f in (tmp_path / ".pulumi/stacks/shop").iterdir()) == ["dev.json", "dev.json.gz.bak"]
    assert [entry["kind"] for entry in packed.history(DEV)] == ["destroy", "update"]
    new = StackName("other", "prod")
    plain.write(new, "four")
    plain.rename(DEV, new)
    assert [entry["kind"] for entry in plain.history(new)] == ["destroy", "update"]
    assert all(f.name.startswith("prod-") for f in plain.history_folder(new).iterdir())
    assert plain.stacks("shop") == []
    plain.remove(new)
    with pytest.raises(NoSuchStack):
        plain.read(new)


def test_of_two_forms_the_newer_counts(tmp_path: Path) -> None:
    """After a crash between writing the one and removing the other."""
    plain = backend(tmp_path)
    plain.create(DEV, "old")
    backend(tmp_path, is_gzip=True).write(DEV, "new")
    (tmp_path / ".pulumi/stacks/shop/dev.json").write_text("older")
    os.utime(tmp_path / ".pulumi/stacks/shop/dev.json", (1, 1))
    assert plain.read(DEV) == "new"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("dev.json.gz", b"\x1f\x8b\x08 cut", "the state is damaged"),
        ("dev.json", b"\xff\xfe", "the state is damaged"),
        ("dev.json.zst", b"(\xb5/\xfd", "expected plain or gzip, got zstd"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """One line with what to do, not a traceback of a decoder."""
    folder = tmp_path / ".pulumi/stacks/shop"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    with pytest.raises(StateError, match=message):
        backend(tmp_path).read(DEV)


def test_other_backends_are_refused() -> None:
    """By name, with what to set."""
    for url in ("s3://bucket", "https://api.example.invalid"):
        with pytest.raises(UsageError, match="files only"):
            FileBackend.from_url(url)
    with pytest.raises(UsageError, match="does not exist"):
        FileBackend.from_url("file:///nowhere/at/all")


def test_names_stay_inside_their_folder() -> None:
    """A stack's name becomes a path."""
    assert StackName.parse("organization/a/b", "shop") == StackName("a", "b")
    assert StackName.parse("b", "shop").full == "organization/shop/b"
    for text in ("..", "a/../b", "acme/a/b", "a//b", "a b", "organization/../x"):
        with pytest.raises(UsageError):
            StackName.parse(text, "shop")
    assert json.dumps(DEV.full) == '"organization/shop/dev"'
