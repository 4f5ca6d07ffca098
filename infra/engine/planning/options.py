"""What the user asked of an update."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked of this update."""

    kind: str = "up"  # the command: up, preview, refresh, destroy, import
    is_preview: bool = False
    is_refresh: bool = False
    # --run-program: refresh and destroy ask the program which providers there are, and how they are configured now.
    with_program: bool = False
    targets: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    with_dependents: bool = False  # --target-dependents, --exclude-dependents
    parallel: int = 0
    continue_on_error: bool = False
    exclude_protected: bool = False
    is_debug: bool = False

    @property
    def is_destroy_by_program(self) -> bool:
        return self.with_program and self.kind == "destroy"

    @property
    def is_refresh_by_program(self) -> bool:
        """Each resource is read when the program registers it, with the provider it registers it with."""
        return self.with_program and self.is_refresh and self.kind != "destroy"

    @property
    def is_targeted(self) -> bool:
        return bool(self.targets or self.excludes)
