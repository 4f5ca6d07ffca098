"""Nothing secret is ever written or printed in the clear."""

import base64
import json
from pathlib import Path

import pytest

from infra.engine.errors import StateError, UsageError
from infra.engine.state.crypter import Passphrase, PassphraseCrypter, derive_key
from tests.engine.world import World

CANARY = "c4n4ry-7f3a"
PROGRAM = """
token = cfg.require_secret("token")
a = Thing("a", password=token, note=token.apply(lambda t: "has " + t), nested={"deep": [token, "x"]})
b = Thing("b", copy=a.password if hasattr(a, "password") else token, opts=RO(additional_secret_outputs=["serial"]))
pulumi.export("token", token)
pulumi.export("wrapped", {"inner": token})
pulumi.log.info("done")
token.apply(lambda t: print("leak", t))
"""


@pytest.mark.story
@pytest.mark.parametrize("environment", [{}, {"NO_SECRETS": "1"}], ids=["provider-keeps-secrets", "provider-knows-none"])
def test_canary_is_nowhere(world: World, tmp_path: Path, environment: dict[str, str]) -> None:
    """State, backups, history, event log, plan, --diff, --json, stack export and outputs: grep finds nothing."""
    world.program(PROGRAM)
    world.run("config", "set", "--secret", "token", CANARY, "-s", "dev")
    log = tmp_path / "events"
    files = [tmp_path / "plan", tmp_path / "imports"]
    writing = ("--save-plan", str(files[0]), "--import-file", str(files[1]))
    text = world.run("preview", "--diff", "--show-config", "-s", "dev", *writing, **environment)
    text += world.run("preview", "--json", "-s", "dev", **environment)
    text += world.up("--diff", "--event-log", str(log), **environment)
    world.run("config", "set", "--secret", "token", CANARY + "2", "-s", "dev")
    text += world.up("--diff", "--event-log", str(log), **environment)
    for command in (
        ("stack", "output"),
        ("stack", "output", "--json"),
        ("stack", "export"),
        ("stack", "history", "--json"),
        ("config",),
    ):
        text += world.run(*command, "-s", "dev")
    assert "[secret]" in text
    assert CANARY not in text
    for path in [
        log,
        *files,
        *(p for p in (world.folder / "state").rglob("*") if p.is_file()),
        *(world.folder / "program").glob("*.yaml"),
    ]:
        assert CANARY not in path.read_text(), path
        assert base64.b64encode(CANARY.encode()).decode().rstrip("=")[:-1] not in path.read_text(), path
    assert CANARY + "2" in world.run("stack", "output", "token", "--show-secrets", "-s", "dev")


def test_secret_that_a_provider_quotes_is_blotted_out(world: World, tmp_path: Path) -> None:
    """Also one that no state and no configuration held before: made by the program, or found by a refresh."""
    word = "Thing('a', password=pulumi.Output.secret('c4n4ry' + '-7f3a'){})\n"
    log = tmp_path / "events"
    text = ""
    for fault in (", fail='create'", ", fail='init'"):
        world.program(word.format(fault))
        text += world.up("--event-log", str(log), code=1)
    world.program(word.format(""))
    world.up()
    (world.folder / "store" / "unready").touch()
    text += world.run("refresh", "--yes", "--skip-preview", "-s", "dev", "--event-log", str(log))
    assert world.resources()["a"]["initErrors"] == ["not ready: on purpose, with [secret]"]
    assert "refused on purpose, with [secret]" in text
    for path in (log, *(found for found in (world.folder / "state").rglob("*") if found.is_file())):
        assert CANARY not in path.read_text(), path
    assert CANARY not in text


def test_export_in_the_clear_is_never_readable_by_others(world: World, tmp_path: Path) -> None:
    """Not even between its writing and a later chmod, and not where another file of that name was open to all."""
    world.program(f"Thing('a', password=pulumi.Output.secret({CANARY!r}))\n")
    world.up()
    file = tmp_path / "state.json"
    file.write_text("")
    file.chmod(0o644)
    world.run("stack", "export", "--show-secrets", "--file", str(file), "-s", "dev")
    assert CANARY in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert world.state_file.stat().st_mode & 0o777 == 0o600


def test_unchanged_secret_keeps_its_ciphertext(world: World) -> None:
    """Otherwise each update would change every line that holds a secret."""
    world.program("Thing('a', password=cfg.require_secret('token'))\n")
    world.run("config", "set", "--secret", "token", CANARY, "-s", "dev")
    world.up()
    before = world.resources()["a"]["inputs"]
    world.up()
    assert world.resources()["a"]["inputs"] == before


def test_passphrase_from_a_file(world: World) -> None:
    """PULUMI_CONFIG_PASSPHRASE_FILE, for where an environment variable is too public."""
    secret = world.folder / "passphrase"
    secret.write_text("correct horse\n")
    world.run("config", "set", "--secret", "token", CANARY, "-s", "dev")
    environment = {k: v for k, v in world.environment.items() if k != "PULUMI_CONFIG_PASSPHRASE"}
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "infra.engine", "config", "get", "token", "-s", "dev"],
        cwd=world.folder / "program",
        env={**environment, "PULUMI_CONFIG_PASSPHRASE_FILE": str(secret)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.strip() == CANARY


def test_key_is_what_pulumi_derives() -> None:
    """PBKDF2-SHA256 over 1,000,000 rounds; the expected key is that of Python's hashlib."""
    expected = "cbe9554151a5ff5513d31db5ecf14e759c6d5c8b899618585f0ea05688f94c61"
    assert derive_key("grüße", b"saltsalt").hex() == expected


def test_crypter_round_trip_and_refusals() -> None:
    """AES-256-GCM notices a changed byte and a wrong passphrase."""
    crypter = PassphraseCrypter.fresh(Passphrase("pass"))
    sealed = crypter.encrypt("grüße")
    assert PassphraseCrypter(crypter.state, Passphrase("pass")).decrypt(sealed) == "grüße"
    with pytest.raises(StateError, match="incorrect passphrase"):
        PassphraseCrypter(crypter.state, Passphrase("other")).decrypt(sealed)
    for damaged in (sealed[:-4], sealed.replace("v1:", "v2:"), "x", ""):
        with pytest.raises(StateError):
            crypter.decrypt(damaged)
    with pytest.raises(UsageError, match="PULUMI_CONFIG_PASSPHRASE"):
        PassphraseCrypter(crypter.state, Passphrase(None)).encrypt("x")


def test_a_value_made_secret_is_sealed_at_once_and_is_no_change(world: World) -> None:
    """Inputs and named outputs; the provider sees no difference, nor does a refresh (found by random programs)."""
    world.program(
        "s = os.environ.get('S')\nw = pulumi.Output.secret if s else (lambda x: x)\n"
        "Thing('t', v=w('canary'), opts=RO(additional_secret_outputs=['serial', 'v'] if s else None))\n"
    )
    world.up()
    serial = world.resources()["t"]["id"]
    world.calls()
    world.up(S="1")
    assert world.calls() == []
    thing = world.resources()["t"]
    assert "canary" not in json.dumps(thing)
    assert serial not in json.dumps(thing["outputs"])
    world.up("--refresh", "--expect-no-changes", S="1")
    assert "canary" not in world.state_file.read_text()


def test_passphrase_is_asked_for_when_the_first_secret_is_met() -> None:
    """At a terminal: a wrong one may be typed again, a new one is typed twice, one from the environment is never asked."""
    sealed = (crypter := PassphraseCrypter.fresh(Passphrase("pass"))).encrypt("x")

    def answers(*words: str) -> Passphrase:
        left = list(words)
        return Passphrase(None, lambda question: left.pop(0))

    assert PassphraseCrypter(crypter.state, answers("wrong", "pass")).decrypt(sealed) == "x"
    with pytest.raises(StateError, match="incorrect passphrase"):
        PassphraseCrypter(crypter.state, answers("a", "b", "c")).decrypt(sealed)
    with pytest.raises(StateError, match="incorrect passphrase"):
        PassphraseCrypter(crypter.state, Passphrase("wrong", lambda question: "pass")).decrypt(sealed)
    with pytest.raises(UsageError, match="do not match"):
        PassphraseCrypter.fresh(answers("one", "other"))
    assert PassphraseCrypter.fresh(new := answers("one", "one")).encrypt("x")
    assert new.get() == "one"
