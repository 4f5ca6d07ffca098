"""Which stack: its name, and the URN of its own resource."""

from dataclasses import dataclass

from infra.engine.errors import UsageError
from infra.engine.model.urns import STACK_TYPE, make_urn


@dataclass(frozen=True, slots=True)
class StackName:
    """A stack of a project; the organisation of a file backend is always `organization`."""

    project: str
    stack: str

    @property
    def full(self) -> str:
        return f"organization/{self.project}/{self.stack}"

    @classmethod
    def parse(cls, text: str, project: str) -> "StackName":
        """Reads STACK, PROJECT/STACK or organization/PROJECT/STACK. Raises UsageError."""
        parts = text.split("/")
        if len(parts) == 3 and parts[0] != "organization":
            raise UsageError(f"stack {text!r}: the organization of a file backend is `organization`, got {parts[0]!r}")
        if len(parts) > 3 or not all(parts):
            raise UsageError(f"stack {text!r}: expected STACK or organization/PROJECT/STACK")
        name = cls(parts[-2] if len(parts) > 1 else project, parts[-1])
        # Both become folders: `..` as a project made `stack rm` delete what lies beside the stack's own history.
        for kind, part in (("stack", name.stack), ("project", name.project)):
            if not all(c.isalnum() or c in "-_." for c in part) or part.startswith("."):
                raise UsageError(f"{kind} {part!r}: a name has only letters, digits, hyphens, underscores and periods")
        return name


def stack_urn(name: StackName) -> str:
    """The URN of the stack's own resource."""
    return make_urn(name.stack, name.project, "", STACK_TYPE, f"{name.project}-{name.stack}")
