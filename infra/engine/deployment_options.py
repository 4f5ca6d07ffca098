"""What the user asked of an update."""

from dataclasses import dataclass

from infra.engine.backend import StackName
from infra.engine.urns import STACK_TYPE, make_urn


def stack_urn(name: StackName) -> str:
    """The URN of the stack's own resource."""
    return make_urn(name.stack, name.project, "", STACK_TYPE, f"{name.project}-{name.stack}")


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked of this update."""

    is_preview: bool = False
    is_refresh: bool = False
    targets: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    with_dependents: bool = False  # --target-dependents, --exclude-dependents
    parallel: int = 0
    continue_on_error: bool = False
    exclude_protected: bool = False

    @property
    def is_targeted(self) -> bool:
        return bool(self.targets or self.excludes)
