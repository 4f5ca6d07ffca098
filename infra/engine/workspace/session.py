"""A stack opened for a command: project, settings, secrets, state. Cheap to make; nothing here loads gRPC."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.engine.errors import StateError, UsageError
from infra.engine.model.resource_state import ResourceState
from infra.engine.model.stack_name import StackName
from infra.engine.model.values import Secret, walk
from infra.engine.state.backend import FileBackend
from infra.engine.state.checkpoint import decode_resource, parse_document
from infra.engine.state.crypter import Crypter, Passphrase, PassphraseCrypter, read_passphrase
from infra.engine.workspace import config as stack_config
from infra.engine.workspace.config import ConfigItem, StackSettings
from infra.engine.workspace.project import Project, find_project


@dataclass(slots=True)
class Workspace:
    """Where the command runs: environment, project, backend."""

    environment: Mapping[str, str]
    folder: Path
    ask: Callable[[str], str] | None = None  # puts a question to a person, without echo; None where there is nobody

    def project(self) -> Project:
        return find_project(self.folder)

    def project_or_none(self) -> Project | None:
        try:
            return find_project(self.folder)
        except UsageError:
            return None

    @property
    def home(self) -> Path:
        return Path(self.environment.get("PULUMI_HOME") or Path.home() / ".pulumi")

    def backend(self, project: Project | None = None) -> FileBackend:
        """PULUMI_BACKEND_URL, else the project's `backend.url`, else the folder named by `login`, else the home folder."""
        url = self.environment.get("PULUMI_BACKEND_URL") or (project.backend_url if project else "")
        is_gzip = self.environment.get("PULUMI_DIY_BACKEND_GZIP", "").lower() in ("1", "true")
        return FileBackend.from_url(url or "file://~", is_gzip=is_gzip)

    def selection_file(self, project: Project) -> Path:
        return self.home / "workspaces" / f"{project.name}-{_digest(str(project.folder))}-workspace.json"


def _digest(text: str) -> str:
    import hashlib

    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()  # the name Pulumi's CLI gives the file


class Session:
    """One stack."""

    def __init__(
        self, workspace: Workspace, project: Project, backend: FileBackend, name: StackName, settings_path: Path | None
    ) -> None:
        self.workspace = workspace
        self.project = project
        self.backend = backend
        self.name = name
        self.settings = StackSettings.load(settings_path or project.stack_file(name.stack))
        self.passphrase = Passphrase(read_passphrase(workspace.environment), workspace.ask)
        self._crypter: PassphraseCrypter | None = None

    def document(self) -> dict[str, Any]:
        """The parsed checkpoint. Raises NoSuchStack, StateError."""
        return parse_document(self.backend.read(self.name), str(self.backend.stack_file(self.name)))

    def crypter(self, latest: dict[str, Any] | None = None) -> PassphraseCrypter:
        """The stack's crypter, by the salt of its settings, else of its checkpoint, else a new one that is written down."""
        if self._crypter is None:
            if self.settings.secrets_provider not in ("", "passphrase"):
                raise UsageError(f"secrets provider {self.settings.secrets_provider!r}: this engine has only `passphrase`")
            salt = self.settings.encryption_salt or checkpoint_salt(latest or {})
            if salt:
                self._crypter = PassphraseCrypter(salt, self.passphrase)
            else:
                self._crypter = PassphraseCrypter.fresh(self.passphrase)
            if not self.settings.encryption_salt:
                self.settings.encryption_salt = self._crypter.state
                self.settings.save()
        return self._crypter

    def crypter_of(self, latest: dict[str, Any]) -> PassphraseCrypter:
        """The crypter that opens a checkpoint, also another stack's: all of them have this session's passphrase."""
        return PassphraseCrypter(checkpoint_salt(latest), self.passphrase)

    def config(self, crypter: Crypter) -> dict[str, ConfigItem]:
        return stack_config.effective(self.settings, self.project, self.name.stack, crypter)

    def states(self, document: dict[str, Any]) -> list[ResourceState]:
        """The checkpoint's resources. Secrets encrypted with another salt than the stack's are to be encrypted anew."""
        latest = document["checkpoint"].get("latest") or {}
        crypter: Crypter = self.crypter(latest)
        salt = checkpoint_salt(latest)
        is_foreign = bool(salt) and salt != self.crypter().state
        if is_foreign:
            crypter = PassphraseCrypter(salt, self.passphrase)
        try:
            states = [decode_resource(r, crypter) for r in latest.get("resources") or []]
        except (TypeError, KeyError, ValueError) as exc:
            raise StateError(
                f"{self.backend.stack_file(self.name)}: the state is damaged ({exc}); restore the .bak file"
            ) from exc
        if is_foreign:
            for state in states:
                for node in walk([state.inputs, state.outputs]):
                    if isinstance(node, Secret):
                        node.ciphertext = None
        return states


def checkpoint_salt(latest: dict[str, Any]) -> str:
    """The salt that the checkpoint's secrets were sealed with, "" where it has none. Raises StateError."""
    provider = latest.get("secrets_providers") or {}
    if not provider:
        return ""
    if provider.get("type") != "passphrase":
        raise StateError(f"secrets provider {provider.get('type')!r}: this engine has only `passphrase`")
    state = provider.get("state") or {}
    return str((json.loads(state) if isinstance(state, str) else state).get("salt") or "")
