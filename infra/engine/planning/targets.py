"""Which resources the user named: --target, --exclude, --replace, and those that follow. Pure."""

import functools
import re

from infra.engine.errors import UsageError
from infra.engine.model.resource_state import ResourceState
from infra.engine.model.urns import is_provider_type, urn_type
from infra.engine.planning.options import Options


@functools.lru_cache(maxsize=4096)
def target_pattern(target: str) -> "re.Pattern[str]":
    """A target URN; `*` matches within one part, `**` anything."""
    parts = re.split(r"(\*\*|\*)", target)
    return re.compile("".join(".*" if p == "**" else "[^:]*" if p == "*" else re.escape(p) for p in parts))


def matches(urn: str, patterns: tuple[str, ...]) -> bool:
    return any(target_pattern(pattern).fullmatch(urn) for pattern in patterns)


class Targets:
    """The user's choice, as it grows by what depends on it."""

    def __init__(self, options: Options, stack_urn: str) -> None:
        self._options = options
        self._stack_urn = stack_urn
        # Resources named, for or against, because something they need is.
        self._followed: set[str] = set()

    def allow(self, urn: str) -> bool:
        """Whether an update may touch the resource; providers and the stack are always implied."""
        if not self._options.is_targeted or urn == self._stack_urn or is_provider_type(urn_type(urn)):
            return True
        return self.name(urn)

    def name(self, urn: str) -> bool:
        """Whether the user's targets name this resource (or its excludes do not); nothing is implied."""
        if self._options.targets:
            return urn in self._followed or matches(urn, self._options.targets)
        return urn not in self._followed and not matches(urn, self._options.excludes)

    def follow(self, state: ResourceState) -> None:
        """With --target-dependents or --exclude-dependents: what needs a named resource is named with it.

        To be called for each resource after those it needs; pkg/resource/deploy/step_generator.go isTargetedForUpdate.
        """
        if not self._options.with_dependents:
            return
        is_named = self.name(state.urn)
        if is_named is bool(self._options.targets) or ({*state.needs(), state.provider.rpartition("::")[0]}) & self._followed:
            self._followed.add(state.urn)

    def ask_replacement(self, urn: str) -> bool:
        return matches(urn, self._options.replaces)

    def check(self, known: set[str]) -> None:
        """A target that matches nothing is a typing mistake. Raises UsageError."""
        for target in (*self._options.targets, *self._options.replaces):
            if not any(target_pattern(target).fullmatch(urn) for urn in known):
                raise UsageError(f"no resource named '{target}' found")
