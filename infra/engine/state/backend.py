"""The file backend, in Pulumi's own layout.

.pulumi/meta.yaml                                    version: 1
.pulumi/stacks/PROJECT/STACK.json (+ .bak)           the checkpoint and the one before it
.pulumi/locks/organization/PROJECT/STACK/UUID.json
.pulumi/history/PROJECT/STACK/STACK-NS.{history,checkpoint}.json
"""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from infra.engine.errors import NoSuchStack, StackExists, StateError, UsageError
from infra.engine.model.stack_name import StackName


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Writes beside, syncs, renames: a reader sees the old text or the new, also after a power cut.

    `mode` holds from the first byte on (less the umask): an export may have secrets in the clear.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)  # a process of this number that was killed: O_EXCL makes sure that the mode is ours
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class FileBackend:
    """Stacks under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root / ".pulumi"

    @classmethod
    def from_url(cls, url: str) -> "FileBackend":
        """`file://PATH`; `file://~` is the home folder. Raises UsageError for any other scheme."""
        if not url.startswith("file://"):
            raise UsageError(f"backend {url!r}: this engine keeps state in files only; set PULUMI_BACKEND_URL=file://PATH")
        path = Path(url.removeprefix("file://").split("?")[0]).expanduser()
        if not path.is_dir():
            raise UsageError(f"backend {url!r}: the folder {path} does not exist; create it first")
        return cls(path.resolve())

    def stack_file(self, name: StackName) -> Path:
        return self.root / "stacks" / name.project / f"{name.stack}.json"

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
        """The checkpoint's text. Raises NoSuchStack; StateError for forms we cannot read (gzip)."""
        try:
            return self.stack_file(name).read_text()
        except FileNotFoundError:
            if self.stack_file(name).with_suffix(".json.gz").exists():
                raise StateError(f"stack {name.full}: the state is gzipped, which this engine does not read") from None
            raise NoSuchStack(name.stack) from None
        except UnicodeDecodeError as exc:
            raise StateError(f"{self.stack_file(name)}: the state is damaged (not text); restore it from the .bak file") from exc

    def back_up(self, name: StackName) -> None:
        """Keeps the checkpoint as it is before an update as .bak."""
        source = self.stack_file(name)
        shutil.copy(source, source.with_name(source.name + ".bak"))  # with its mode

    def write(self, name: StackName, text: str) -> None:
        write_atomically(self.stack_file(name), text)

    def remove(self, name: StackName) -> None:
        source = self.stack_file(name)
        source.unlink(missing_ok=True)
        source.with_name(source.name + ".bak").unlink(missing_ok=True)
        shutil.rmtree(self.history_folder(name), ignore_errors=True)
        shutil.rmtree(self.lock_folder(name), ignore_errors=True)

    def rename(self, old: StackName, new: StackName) -> None:
        for source, target in (
            (self.stack_file(old), self.stack_file(new)),
            (self.history_folder(old), self.history_folder(new)),
        ):
            if source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                source.rename(target)

    def stacks(self, project: str | None) -> list[StackName]:
        folders = [self.root / "stacks" / project] if project else sorted((self.root / "stacks").glob("*"))
        return [StackName(f.name, file.stem) for f in folders for file in sorted(f.glob("*.json"))]

    def add_history(self, name: StackName, entry: dict[str, Any]) -> None:
        """Records a finished update beside a copy of the checkpoint it left."""
        folder = self.history_folder(name)
        stem = f"{name.stack}-{time.time_ns()}"
        write_atomically(folder / f"{stem}.history.json", json.dumps(entry, indent=4))
        shutil.copy(self.stack_file(name), folder / f"{stem}.checkpoint.json")

    def history(self, name: StackName) -> list[dict[str, Any]]:
        """Updates, newest first."""
        files = sorted(self.history_folder(name).glob("*.history.json"), reverse=True)
        return [json.loads(file.read_text()) for file in files]
