"""`cloud fault`: what goes wrong in the local cloud, on request."""

from __future__ import annotations

from typing import Any

import click

from infra.cli.cloud import require_cloud
from infra.cli.errors import UsageError
from infra.cli.home import open_home
from infra.cli.options import example, json_option
from infra.cli.screen import Screen

RATE = click.FloatRange(0, 1)
name_argument = click.argument("name")


@click.group("fault", epilog=example("./cached-auth cloud fault kill auth/us-west2/1", "./cached-auth cloud fault clear"))
def fault() -> None:
    """Make things go wrong: the API, a process, a link, a standby.

    NAME is a name that `cloud status` shows, or enough of its words, or of their beginnings, in their order: auth/us-west2/1,
    standby, primary.
    """


@fault.command("api", epilog=example("./cached-auth cloud fault api --error-rate 0.05 --throttle-rate 0.02 --seed 7"))
@click.option("--error-rate", type=RATE, help="Share of requests answered with 'Problem processing request'; nothing is done.")
@click.option("--throttle-rate", type=RATE, help="Share of requests answered with 429.")
@click.option("--lost-answer-rate", type=RATE, help="Share of requests that are carried out and whose answer is lost.")
@click.option("--delay-ms", type=click.FloatRange(0), help="Every answer this much later.")
@click.option("--seed", type=int, help="The same order of requests meets the same faults.")
@click.option("--requests-per-second", type=click.IntRange(1), help="Limit per token.")
@click.option("--requests-per-hour", type=click.IntRange(1), help="Limit per token.")
@click.option("--projects-per-minute", type=click.IntRange(1), help="Limit of new projects per token.")
@click.option(
    "--deletions-linger-s", "linger_s", type=click.FloatRange(0, 86_400), help="What is deleted is still shown this long."
)
@json_option
def api(is_json: bool, **given: float | None) -> int:
    """Faults and limits of the GraphQL API. Replaces what was set; what is left out is off."""
    limits = ("requests_per_second", "requests_per_hour", "projects_per_minute")
    asked = {name: value for name, value in given.items() if value is not None}
    body = {
        "graphql": {name: value for name, value in asked.items() if name not in (*limits, "linger_s")},
        "rate_limit": {name: value for name, value in asked.items() if name in limits},
        **({"deletions": {"linger_s": asked["linger_s"]}} if "linger_s" in asked else {}),
    }
    answer = require_cloud(open_home()).ask("POST", "/_local/faults", body)
    told = ", ".join(_setting(name, value) for name, value in asked.items())
    return _tell(is_json, answer, f"the API's faults: {told or 'none'}")


def _on_process(action: str, summary: str, sample: str, told: str) -> click.Command:
    @fault.command(action, help=summary, epilog=example(f"./cached-auth cloud fault {action} {sample}"))
    @name_argument
    @json_option
    def run(name: str, is_json: bool) -> int:
        answer = require_cloud(open_home()).ask("POST", "/_local/faults/processes", {"key": name, "action": action})
        return _tell(is_json, answer, f"{told} {answer['name']} ({answer['key']})")

    return run


_on_process("kill", "End a process at once (SIGKILL). It comes back by its own policy.", "auth/us-west2/1", "killed")
_on_process(
    "pause", "Stop a process without ending it (SIGSTOP). It keeps its connections and says nothing.", "cache/us-west2", "paused"
)
_on_process("resume", "Let a paused process go on.", "cache/us-west2", "resumed")
_on_process("down", "Kill a database or gateway and keep it down. It is gone like a machine until `up`.", "primary", "took down")
_on_process("up", "Bring back what was taken down.", "primary", "called up")


@fault.command("link", epilog=example("./cached-auth cloud fault link us-west2 europe-west4-drams3a --partition"))
@click.argument("from_region", metavar="FROM")
@click.argument("to_region", metavar="TO")
@click.option("--cut", "states", flag_value="cut", multiple=True, help="Reset what is open, refuse what comes.")
@click.option(
    "--partition", "states", flag_value="partitioned", multiple=True, help="Silence: connecting hangs, open connections wait."
)
@click.option(
    "--heal", "states", flag_value="healed", multiple=True, help="Neither cut nor partitioned, nothing lost, no jitter."
)
@click.option("--rtt-ms", type=click.FloatRange(0, 10_000), help="Round trip.")
@click.option("--jitter-ms", type=click.FloatRange(0, 10_000), help="A round trip takes up to this much longer.")
@click.option("--loss-rate", type=RATE, help="Share of connections that break.")
@click.option("--seed", type=int, help="The same order of connections meets the same losses.")
@click.option("--one-way", is_flag=True, help="Only connections opened in FROM towards TO.")
@json_option
def link(from_region: str, to_region: str, states: tuple[str, ...], one_way: bool, is_json: bool, **given: float | None) -> int:
    """Change the link between two regions; what is not named stays. FROM or TO may be `all`."""
    if len(set(states)) > 1:
        raise UsageError("expected one of --cut, --partition and --heal, got several", "./cached-auth cloud fault link --help")
    body: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if "healed" in states:
        body = {"cut": False, "partitioned": False, "jitter_ms": 0, "loss_rate": 0, "seed": None} | body
    else:
        body |= dict.fromkeys(states, True)
    if not body:
        raise UsageError(
            "expected what to change: --cut, --partition, --heal, --rtt-ms, --jitter-ms, --loss-rate or --seed",
            "./cached-auth cloud fault link --help",
        )
    body |= {end: region for end, region in (("from", from_region), ("to", to_region)) if region != "all"}
    answer = require_cloud(open_home()).ask("POST", "/_local/links", {**body, "both": not one_way})
    return _tell(is_json, answer, f"link {from_region} {'->' if one_way else '<->'} {to_region}: {_link_words(states, given)}")


def _link_words(states: tuple[str, ...], given: dict[str, float | None]) -> str:
    return ", ".join([*dict.fromkeys(states), *(_setting(name, value) for name, value in given.items() if value is not None)])


def _setting(name: str, value: float) -> str:
    """`rtt 30 ms`, `loss rate 0.1`: the unit behind the number, where people look for it."""
    word, _, unit = name.rpartition("_")
    return f"{word.replace('_', ' ')} {value:g} {unit}" if unit in ("ms", "s") else f"{name.replace('_', ' ')} {value:g}"


@fault.command("standby", epilog=example("./cached-auth cloud fault standby standby/eu-central-1 --replay-delay-ms 2000"))
@name_argument
@click.option(
    "--replay-delay-ms", type=click.IntRange(0, 3_600_000), required=True, help="Apply what it receives this much later."
)
@json_option
def standby(name: str, replay_delay_ms: int, is_json: bool) -> int:
    """Let a standby lag behind its primary; 0 lets it catch up."""
    body = {"identifier": name, "replay_delay_ms": replay_delay_ms}
    answer = require_cloud(open_home()).ask("POST", "/_local/faults/standbys", body)
    return _tell(is_json, answer, f"{name} replays {replay_delay_ms} ms later")


@fault.command("overlap", epilog=example("./cached-auth cloud fault overlap old"))
@click.argument("requests_meet", type=click.Choice(["new", "old"]), metavar="new|old")
@json_option
def overlap(requests_meet: str, is_json: bool) -> int:
    """Which deployment requests meet during an overlap.

    At first the new one. `clear` leaves this as it is.
    """
    answer = require_cloud(open_home()).ask("POST", "/_local/overlap", {"requests_meet": requests_meet})
    return _tell(is_json, answer, f"during an overlap requests meet the {requests_meet} deployment")


@fault.command("list", epilog=example("./cached-auth cloud fault list --json"))
@json_option
def list_faults(is_json: bool) -> int:
    """What is switched on, down or paused. Lagging standbys do not show."""
    cloud = require_cloud(open_home())
    api_faults, status = cloud.ask("GET", "/_local/faults"), cloud.status()
    links = [found for found in status["links"] if _is_faulty(found)]
    processes = [found for kind in ("replicas", "caches", "databases") for found in status[kind]]
    processes += [found["api"] for found in status["databases"] if "name" in found.get("api", {})]
    held = [found["name"] for found in processes if found.get("is_held")]  # `get`: an older daemon may know less
    paused = [found["name"] for found in processes if found.get("is_paused")]
    requests_meet = status["overlap"]["requests_meet"]
    if is_json:
        return _tell(True, {"api": api_faults, "links": links, "down": held, "paused": paused, **status["overlap"]}, "")
    lines = [f"api {_setting(name, value)}" for part in api_faults.values() for name, value in part.items() if value]
    lines += [f"link {found['from']} -> {found['to']}: {_fault_words(found)}" for found in links]
    lines += [f"down {name}" for name in held] + [f"paused {name}" for name in paused]
    lines += ["during an overlap requests meet the old deployment"] if requests_meet == "old" else []
    return _tell(False, None, "\n".join(lines) or "nothing is switched on")


def _is_faulty(found: dict[str, Any]) -> bool:
    return any(found[name] for name in ("cut", "partitioned", "jitter_ms", "loss_rate"))


def _fault_words(found: dict[str, Any]) -> str:
    words = [name for name in ("cut", "partitioned") if found[name]]
    return ", ".join([*words, *(_setting(name, found[name]) for name in ("jitter_ms", "loss_rate") if found[name])])


@fault.command("clear", epilog=example("./cached-auth cloud fault clear"))
@json_option
def clear(is_json: bool) -> int:
    """End every fault. Round trips and `overlap` stay."""
    answer = require_cloud(open_home()).ask("DELETE", "/_local/faults")
    return _tell(is_json, answer, "all faults are off")


def _tell(is_json: bool, document: Any, words: str) -> int:
    screen = Screen(is_json)
    if is_json:
        screen.result(document)
    else:
        screen.say(words)
    return 0
