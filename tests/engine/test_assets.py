"""Hashes of assets and archives: Pulumi's own, byte for byte.

The figures of the first table are from Pulumi's tests (sdk/go/common/resource/asset_test.go); those of the second are sums of
what Go's archive/tar writes for the same names and sizes.
"""

import hashlib
import zipfile
from pathlib import Path

import pytest

from infra.engine.errors import UsageError
from infra.engine.model.values import ARCHIVE_SIGNATURE, ASSET_SIGNATURE, SIGNATURE_KEY
from infra.engine.plugins.assets import with_hash

A, B = {SIGNATURE_KEY: ASSET_SIGNATURE}, {SIGNATURE_KEY: ARCHIVE_SIGNATURE}


def digest(asset: dict[str, object]) -> str:
    return str(with_hash(asset).get("hash", ""))


def many(**members: int) -> dict[str, object]:
    return {**B, "assets": {name: {**A, "text": "z" * size} for name, size in members.items()}}


@pytest.mark.parametrize(
    ("asset", "wanted"),
    [
        ({**A, "text": "a test asset"}, "e34c74529110661faae4e121e57165ff4cb4dbdde1ef9770098aa3695e6b6704"),
        ({**A, "text": ""}, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (
            {**B, "assets": {"foo": {**A, "text": "a test asset"}}},
            "27ab4a14a617df10cff3e1cf4e30cf510302afe56bf4cc91f84041c9f7b62fd8",
        ),
        ({**B, "assets": {"foo": {**A, "text": ""}}}, "d2587a875f82cdf3d3e6cfe9f8c6e6032be5dde8c344466e664e628da15757b0"),
        ({**B, "assets": {}}, "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"),
    ],
)
def test_hashes_are_those_of_pulumis_tests(asset: dict[str, object], wanted: str) -> None:
    """Else the other engine would see a change where there is none."""
    assert digest(asset) == wanted


@pytest.mark.parametrize(
    ("members", "wanted"),
    [
        ({"a.txt": 3}, "329eb2cf9ce8f525e4ec03779d8b6164ba95dd6ac33fe57f835aad5f51ed86d9"),
        ({"a": 0, "b/c": 512, "d": 1000}, "fcbca8bd9d8b1f3a01354e99c9cb517d1dff0171290457526981e0036942e9bf"),
        ({f"{'d' * 60}/{'e' * 60}/f": 5}, "6aee0cbc35015ef9cb8ae6ca7583e444a398d4e2d9f069b55c352e1880bf5b56"),
        ({f"{'é' * 70}/g": 7}, "8b7ebbc790fa96c36fc14425ca7a85a2cc244807ba73e70eb2fd4855d9fc3135"),
        ({f"{'x' * 130}h": 1}, "1aad050c95adbed70022016c677b87efbdf837dd7d53480ffdfd8bae5cb46b21"),
    ],
)
def test_names_that_do_not_fit_a_header_are_written_as_go_does(members: dict[str, int], wanted: str) -> None:
    """Split into prefix and name where that helps, else told in a record of their own."""
    assert digest(many(**members)) == wanted


def test_folder_map_and_archive_file_agree(tmp_path: Path) -> None:
    """A folder is the map of its files; links to files count, links to folders and Pulumi's own folder do not."""
    (tmp_path / "f/sub").mkdir(parents=True)
    (tmp_path / "f/.pulumi").mkdir()
    (tmp_path / "f/.pulumi/x").write_text("x")
    (tmp_path / "f/sub/b").write_text("zz")
    (tmp_path / "f/sub.a").symlink_to(tmp_path / "f/sub/b")
    (tmp_path / "f/again").symlink_to(tmp_path / "f/sub")
    wanted = digest(many(**{"sub/b": 2, "sub.a": 2}))
    folder = {**B, "path": str(tmp_path / "f")}
    assert digest({**folder}) != wanted  # the walk comes to `sub` before `sub.a`, a map's names are sorted as text
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as archive:
        archive.writestr("sub/b", "zz")
        archive.writestr("sub.a", "zz")
    packed = {**B, "path": str(tmp_path / "f.zip")}
    assert digest(packed) == hashlib.sha256((tmp_path / "f.zip").read_bytes()).hexdigest()
    inside = digest({**B, "assets": {".": packed}})
    assert inside == digest({**B, "assets": {".": folder}}) == digest(folder)
    assert digest({**B, "uri": f"file://{tmp_path}/f.zip"}) == digest(packed)
    assert digest({**B, "assets": {"sub": {**B, "path": str(tmp_path / "f/sub")}, "sub/b": {**A, "text": "other"}}}) == digest(
        many(**{"sub/b": 2})
    )


def test_remote_content_has_no_hash_and_a_missing_file_is_told() -> None:
    """The engine fetches nothing; and an asset of a file that is not there is a mistake, not an empty asset."""
    assert digest({**A, "uri": "https://example.invalid/x"}) == ""
    assert digest({**B, "uri": "https://example.invalid/x.zip"}) == ""
    assert digest({**A, "path": "/nowhere", "hash": "known"}) == "known"
    with pytest.raises(UsageError, match="cannot hash the asset or archive '/nowhere'"):
        digest({**A, "path": "/nowhere"})
