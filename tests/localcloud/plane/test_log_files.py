"""The end of a log is read from its end, wherever its parts meet."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.localcloud.plane import log_files
from infra.localcloud.plane.log_files import OLDER, LogFile, read_tail


@given(
    st.lists(st.text(max_size=12), max_size=20),
    st.lists(st.text(max_size=12), max_size=20),
    st.integers(0, 50),
    st.integers(1, 200),
    st.booleans(),
)
def test_a_tail_is_the_end_of_the_whole(older: list[str], newer: list[str], limit: int, block: int, is_torn: bool) -> None:
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patched:
        patched.setattr(log_files, "BLOCK_BYTES", block)
        path = Path(directory) / "a.jsonl"
        for name, texts in ((path.with_suffix(OLDER), older), (path, newer)):
            log = LogFile(name)
            log.append("stdout", texts)
            log.close()
        if is_torn:
            with path.open("ab") as file:
                file.write(b'{"timestamp": "2026')
        found = [line.text for line in read_tail(path, limit)]
    assert found == ([*older, *newer][-limit:] if limit else [])


def test_a_tail_costs_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page asks for it every second, and the whole may be megabytes."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"timestamp":"","stream":"stdout","text":"x"}\n' * 20_000)
    sizes: list[int] = []

    class Counted(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            sizes.append(size or 0)
            return super().read(size) or b""

    monkeypatch.setattr(Path, "open", lambda path, mode: Counted(path, mode))
    assert len(read_tail(path, 200)) == 200
    assert sizes == [log_files.BLOCK_BYTES]
