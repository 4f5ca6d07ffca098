"""The file backend, in Pulumi's own layout.

.pulumi/meta.yaml                                    version: 1
.pulumi/stacks/PROJECT/STACK.json[.gz] (+ .bak)      the checkpoint and the one before it
.pulumi/locks/organization/PROJECT/STACK/UUID.json
.pulumi/history/PROJECT/STACK/STACK-NS.{history,checkpoint}.json
"""

import gzip
import json
import os
import shutil
import time
import zlib
from pathlib import Path
from typing import Any

from infra.engine.errors import NoSuchStack, StackExists, StateError, UsageError
from infra.engine.model.stack_name import StackName


def write_atomically(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """Writes beside, syncs, renames: a reader sees the old text or the new, also after a power cut.

    `mode` holds from the first byte on (less the umask): an export may have secrets in the clear.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)  # a process of this number that was killed: O_EXCL makes sure that the mode is ours
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class FileBackend:
    """Stacks under one folder."""

    def __init__(self, root: Path, is_gzip: bool = False) -> None:
        """`is_gzip`: states and history are written compressed (PULUMI_DIY_BACKEND_GZIP); either form is read."""
        self.root = root / ".pulumi"
        self._is_gzip = is_gzip

    @classmethod
    def from_url(cls, url: str, *, is_gzip: bool = False) -> "FileBackend":
        """`file://PATH`; `file://~` is the home folder. Raises UsageError for any other scheme."""
        if not url.startswith("file://"):
            raise UsageError(f"backend {url!r}: this engine keeps state in files only; set PULUMI_BACKEND_URL=file://PATH")
        path = Path(url.removeprefix("file://").split("?")[0]).expanduser()
        if not path.is_dir():
            raise UsageError(f"backend {url!r}: the folder {path} does not exist; create it first")
        return cls(path.resolve(), is_gzip)

    def _forms(self, name: StackName) -> list[Path]:
        plain = self.root / "stacks" / name.project / f"{name.stack}.json"
        return [plain, plain.with_name(plain.name + ".gz"), plain.with_name(plain.name + ".zst")]

    def stack_file(self, name: StackName) -> Path:
        """The file with the state, in whatever form it is; of several, left by a crash between two writes, the newest."""
        found = [form for form in self._forms(name) if form.exists()]
        return max(found, key=lambda form: form.stat().st_mtime_ns) if found else self._forms(name)[0]

    def lock_folder(self, name: StackName) -> Path:
        return self.root / "locks" / "organization" / name.project / name.stack

    def history_folder(self, name: StackName) -> Path:
        return self.root / "history" / name.project / name.stack

    def exists(self, name: StackName) -> bool:
        return self.stack_file(name).exists()

    def create(self, name: StackName, text: str) -> None:
        if self.exists(name):
            raise StackExists(name.full)
        meta = self.root / "meta.yaml"
        if not meta.exists():
            write_atomically(meta, "version: 1\n")
        write_atomically(self.stack_file(name), text)

    def read(self, name: StackName) -> str:
        """The checkpoint's text. Raises NoSuchStack, StateError."""
        path = self.stack_file(name)
        if path.suffix == ".zst":
            raise StateError(f"{path}: expected plain or gzip, got zstd; write it anew with PULUMI_DIY_BACKEND_ZSTD unset")
        try:
            return _text(path.read_bytes())
        except FileNotFoundError:
            raise NoSuchStack(name.stack) from None
        except (UnicodeDecodeError, EOFError, OSError, zlib.error) as exc:
            raise StateError(f"{path}: the state is damaged ({type(exc).__name__}); restore it from {path}.bak") from exc

    def back_up(self, name: StackName) -> None:
        """Keeps the checkpoint as it is before an update as .bak."""
        source = self.stack_file(name)
        shutil.copy(source, source.with_name(source.name + ".bak"))  # with its mode

    def write(self, name: StackName, text: str) -> None:
        """In the wanted form; one in another form goes when the new one is on disk."""
        forms = self._forms(name)
        target = forms[1] if self._is_gzip else forms[0]
        write_atomically(target, self._packed(text))
        for other in forms:
            if other != target:
                other.unlink(missing_ok=True)

    def _packed(self, text: str) -> bytes:
        return gzip.compress(text.encode(), mtime=0) if self._is_gzip else text.encode()

    def remove(self, name: StackName) -> None:
        for form in self._forms(name):
            form.unlink(missing_ok=True)
            form.with_name(form.name + ".bak").unlink(missing_ok=True)
        shutil.rmtree(self.history_folder(name), ignore_errors=True)
        shutil.rmtree(self.lock_folder(name), ignore_errors=True)

    def rename(self, old: StackName, new: StackName) -> None:
        """Moves tags and history and forgets the old state; the new one has been written."""
        for source, target in (
            (self.tag_file(old), self.tag_file(new)),
            (self.history_folder(old), self.history_folder(new)),
        ):
            if source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                source.rename(target)
        for file in self.history_folder(new).glob(f"{old.stack}-*"):
            file.rename(file.with_name(new.stack + file.name.removeprefix(old.stack)))
        for form in self._forms(old):
            form.unlink(missing_ok=True)

    def tag_file(self, name: StackName) -> Path:
        # Pulumi's own file backend keeps tags in `.pulumi/stacks/PROJECT/STACK.pulumi-tags`.
        return self.root / "stacks" / name.project / f"{name.stack}.pulumi-tags"

    def stacks(self, project: str | None) -> list[StackName]:
        folders = [self.root / "stacks" / project] if project else sorted((self.root / "stacks").glob("*"))
        names = {StackName(f.name, file.name.split(".json")[0]) for f in folders for file in f.glob("*.json*") if _is_state(file)}
        return sorted(names, key=lambda name: (name.project, name.stack))

    def add_history(self, name: StackName, entry: dict[str, Any]) -> None:
        """Records a finished update beside a copy of the checkpoint it left."""
        folder = self.history_folder(name)
        stem = f"{name.stack}-{time.time_ns()}"
        state = self.stack_file(name)
        suffix = ".json.gz" if self._is_gzip else ".json"
        write_atomically(folder / f"{stem}.history{suffix}", self._packed(json.dumps(entry, indent=4)))
        shutil.copy(state, folder / f"{stem}.checkpoint.json{state.name.rpartition('.json')[2]}")

    def history(self, name: StackName) -> list[dict[str, Any]]:
        """Updates, newest first."""
        files = [f for f in self.history_folder(name).glob("*.history.json*") if f.suffix in (".json", ".gz")]
        return [json.loads(_text(file.read_bytes())) for file in sorted(files, reverse=True)]


def _text(content: bytes) -> str:
    """By what it is, not by its name, as Pulumi reads."""
    return (gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content).decode()


def _is_state(file: Path) -> bool:
    return file.name.endswith((".json", ".json.gz", ".json.zst"))
