"""What the user asked of an update."""

from dataclasses import dataclass


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
