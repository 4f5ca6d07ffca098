"""A project as a person says it: an import's id may begin with its ref or with its name, where only one has it."""

from __future__ import annotations

from infra.provider.definition import Call
from infra.provider.errors import InvalidInput
from infra.supabase.client import SupabaseClient


async def ref_of(call: Call[SupabaseClient], said: str) -> str:
    """InvalidInput for a name that nobody or several have."""
    found = await call.client.get("list projects", "/v1/projects")
    projects = [(str(each.get("ref") or each["id"]), str(each["name"])) for each in found]
    match [ref for ref, _ in projects if ref == said] or [ref for ref, name in projects if name == said]:
        case [ref]:
            return ref
        case []:
            names = ", ".join(sorted(name for _, name in projects)[:20]) or "none"
            raise InvalidInput(f'import: expected the ref or name of a project, got "{said}"; there are: {names}')
        case several:
            raise InvalidInput(f'import: {len(several)} projects are called "{said}"; take one by its ref: {", ".join(several)}')
