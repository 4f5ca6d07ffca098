"""URNs: urn:pulumi:STACK::PROJECT::[PARENT_TYPE$]TYPE::NAME."""

from typing import Final

STACK_TYPE: Final = "pulumi:pulumi:Stack"
PROVIDER_PREFIX: Final = "pulumi:providers:"


def make_urn(stack: str, project: str, parent_urn: str, type_token: str, name: str) -> str:
    """The URN of a resource; the stack itself as a parent does not show in the type."""
    parent_type = "" if not parent_urn else qualified_type(parent_urn)
    qualified = f"{parent_type}${type_token}" if parent_type and parent_type != STACK_TYPE else type_token
    return f"urn:pulumi:{stack}::{project}::{qualified}::{name}"


def qualified_type(urn: str) -> str:
    return urn.split("::", 3)[2]


def urn_type(urn: str) -> str:
    return qualified_type(urn).rsplit("$", 1)[-1]


def urn_name(urn: str) -> str:
    return urn.split("::", 3)[3]


def package_of(type_token: str) -> str:
    """`railway` for both `railway:index:Service` and `pulumi:providers:railway`."""
    if type_token.startswith(PROVIDER_PREFIX):
        return type_token.removeprefix(PROVIDER_PREFIX)
    return type_token.split(":", 1)[0]


def is_provider_type(type_token: str) -> bool:
    return type_token.startswith(PROVIDER_PREFIX)


def is_default_provider(urn: str) -> bool:
    """Default providers are the engine's own and count in no summary."""
    return is_provider_type(urn_type(urn)) and urn_name(urn).split("_")[0] == "default"


def split_reference(reference: str) -> tuple[str, str]:
    """A provider reference is `URN::ID`; returns (urn, id)."""
    urn, _, identity = reference.rpartition("::")
    return urn, identity
