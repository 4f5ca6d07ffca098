"""Names that a person can type for what runs: paths of readable words instead of generated keys. Pure.

    <project>/<environment>/<service>/<region>/<number>     a replica or a cache
    <project>/primary   <project>/standby/<region>/<id>     a Supabase project's databases
    <project>/api                                           its API gateway

Any of its words in their order will do where only one thing has them: `auth/us-west2/1`, `standby`, `primary`. Where no name
has them, the beginnings of words up to a hyphen will do too: a stack's services are called `auth-us-west2`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping

from infra.localcloud.world.errors import BadInput, NotFound
from infra.localcloud.world.model import ReplicaStatus, World
from infra.localcloud.world.supabase import api_key, primary_key, standby_key

SHOWN_MAX = 6

Fits = Callable[[str, str], bool]


def process_names(world: World) -> dict[str, str]:
    """Key -> name, in the world's order."""
    names: dict[str, str] = {}
    for deployment in world.deployments.values():
        place = "/".join(
            (
                world.projects[deployment.project_id].name,
                world.environments[deployment.environment_id].name,
                world.services[deployment.service_id].name,
            )
        )
        for replica in deployment.replicas:
            if replica.status is not ReplicaStatus.REMOVED:
                names[replica.key] = f"{place}/{replica.region}/{replica.number}"
    for project in world.supabase.values():
        names[primary_key(project.ref)] = f"{project.name}/primary"
        names[api_key(project.ref)] = f"{project.name}/api"
        for standby in project.replicas:
            names[standby_key(standby)] = f"{project.name}/standby/{standby.region}/{standby.identifier}"
    return names


def key_of(names: Mapping[str, str], asked: str) -> str:
    """The one key that `asked` names. BadInput where it could be several, NotFound where it is none."""
    if asked in names:
        return asked
    words = [word.lower() for word in asked.split("/") if word]
    found = _named(names, words, _is_word) or _named(names, words, _is_beginning)
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(f"{names[key]} ({key})" for key in found[:SHOWN_MAX])
        raise BadInput(f"{asked[:80]!r} could be {listed}{' ...' if len(found) > SHOWN_MAX else ''}")
    close = difflib.get_close_matches(asked, names.values(), SHOWN_MAX, 0.3) or list(names.values())[:SHOWN_MAX]
    raise NoSuchProcess(asked, close)


class NoSuchProcess(NotFound):
    def __init__(self, asked: str, close: Iterable[str]) -> None:
        super().__init__("Process")
        listed = ", ".join(close)
        self.args = (f"Process not found: {asked[:80]!r}; {f'there is {listed}' if listed else 'nothing runs'}",)


def _named(names: Mapping[str, str], words: list[str], fits: Fits) -> list[str]:
    """The keys whose names have `words` in this order."""
    return [key for key, name in names.items() if words and _has_words(words, name.lower().split("/"), fits)]


def _has_words(words: list[str], name: list[str], fits: Fits) -> bool:
    rest = iter(name)
    return all(any(fits(word, part) for part in rest) for word in words)


def _is_word(word: str, part: str) -> bool:
    return word == part


def _is_beginning(word: str, part: str) -> bool:
    return f"{part}-".startswith(f"{word}-")
