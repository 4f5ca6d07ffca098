"""The command line: which commands there are, which flags each takes, and how they are read.

A flag that is not in the table is an error, never ignored in silence. Flags that mean nothing here (colours, tracing,
log verbosity) are accepted on purpose and listed in `WITHOUT_MEANING`. A hand-written reader of 100 lines: argparse and
click would cost 20 to 40 ms of every cold start, and the Automation API calls us for each small question.
"""

from dataclasses import dataclass, field
from typing import Final

from infra.engine.errors import UsageError

SHORT: Final = {
    "-s": "--stack",
    "-y": "--yes",
    "-f": "--skip-preview",
    "-t": "--target",
    "-j": "--json",
    "-m": "--message",
    "-p": "--parallel",
    "-r": "--refresh",
    "-c": "--config",
    "-d": "--debug",
    "-v": "--verbose",
    "-C": "--cwd",
    "-h": "--help",
}
SHORT_OF_COMMAND: Final = {
    ("preview", "-x"): "--exclude",
    ("refresh", "-x"): "--exclude",
    ("destroy", "-x"): "--exclude",
    ("stack", "-i"): "--show-ids",
    ("stack", "-u"): "--show-urns",
    ("stack ls", "-a"): "--all",
    ("stack ls", "-p"): "--project",
    ("stack select", "-c"): "--create",
    ("stack rm", "-f"): "--force",
    ("stack import", "-f"): "--force",
    ("stack export", "-f"): "--file",
    ("config refresh", "-f"): "--force",
    ("import", "-f"): "--file",
    ("import", "-o"): "--out",
    ("plugin ls", "-p"): "--project",
    ("logs", "-f"): "--follow",
    ("logs", "-r"): "--resource",
}

# name -> takes a value?
EVERYWHERE: Final = {"--stack": True, "--non-interactive": False, "--cwd": True, "--help": False, "--debug": False}
WITHOUT_MEANING: Final = {
    "--color": True,
    "--emoji": False,
    "--logtostderr": False,
    "--logflow": False,
    "--verbose": True,
    "--tracing": True,
    "--tracing-header": True,
    "--otel-traces": True,
    "--profiling": True,
    "--memprofilerate": True,
    "--disable-integrity-checking": False,
    "--fully-qualify-stack-names": False,
    "--suppress-progress": False,
    "--suppress-permalink": True,
    "--exec-kind": True,
    "--exec-agent": True,
    "--show-replacement-steps": False,  # always shown
    "--show-full-output": False,  # always shown
    "--skip-plugin-pre-install": False,  # nothing is installed
    "--no-color": False,
}
# Of the commands that run an update, each has what pkg/cmd/pulumi/operations gives it, and no more.
EVERY_UPDATE: Final = {
    "--event-log": True,
    "--client": True,
    "--config-file": True,
    "--config": True,
    "--config-path": False,
    "--message": True,
    "--parallel": True,
    "--target": True,
    "--target-dependents": False,
    "--exclude": True,
    "--exclude-dependents": False,
    "--diff": False,
    "--json": False,
    "--suppress-outputs": False,
    "--show-sames": False,
    "--urns": False,
    "--run-program": False,
}
ASKS_FIRST: Final = {"--yes": False, "--skip-preview": False}
BY_PROGRAM: Final = {
    "--replace": True,
    "--target-replace": True,
    "--refresh": False,
    "--expect-no-changes": False,
    "--show-config": False,
    "--show-reads": False,
}

# Commands of Pulumi's CLI that people try, and what to do instead; each is refused with one line.
UNSUPPORTED: Final = {
    "watch": "run `up` after each change",
    "console": "the state is in files",
    "convert": "write the program in Python",
    "new": "write a Pulumi.yaml",
    "org": "a file backend has no organizations",
    "policy": "policy packs need the pulumi CLI",
    "package": "packages need the pulumi CLI",
    "env": "environments need Pulumi Cloud",
    "schema": "schemas need the pulumi CLI",
    "plugin install": "put the plugin's folder into Pulumi.yaml under plugins.providers",
    "plugin rm": "remove the folder under PULUMI_HOME/plugins",
    "stack graph": "use `stack export`",
    "state edit": "use `stack export`, edit, `stack import`",
    "state upgrade": "the state is current",
    "state repair": "restore the .bak file beside the state",
}

IMPORT: Final = {
    **ASKS_FIRST,
    **{flag: EVERY_UPDATE[flag] for flag in ("--event-log", "--message", "--parallel", "--json", "--diff", "--config-file")},
    "--suppress-outputs": False,
    "--urns": False,
    "--preview-only": False,
    "--file": True,
    "--protect": False,
    "--parent": True,
    "--provider": True,
    "--properties": True,
    "--generate-code": False,
    "--out": True,
    "--from": True,
}
REFRESH: Final = {
    "--preview-only": False,
    "--expect-no-changes": False,
    "--clear-pending-creates": False,
    "--skip-pending-creates": False,
    "--import-pending-creates": True,
}
DESTROY: Final = {
    "--preview-only": False,
    "--refresh": False,
    "--remove": False,
    "--exclude-protected": False,
    "--continue-on-error": False,
    "--show-config": False,
}
COMMANDS: Final[dict[str, dict[str, bool]]] = {
    "up": {**EVERY_UPDATE, **ASKS_FIRST, **BY_PROGRAM, "--continue-on-error": False, "--plan": True},
    "preview": {**EVERY_UPDATE, **BY_PROGRAM, "--save-plan": True, "--import-file": True},
    "refresh": {**EVERY_UPDATE, **ASKS_FIRST, **REFRESH},
    "destroy": {**EVERY_UPDATE, **ASKS_FIRST, **DESTROY},
    "import": IMPORT,
    "version": {},
    "about": {"--json": False, "--transitive": False},
    "whoami": {"--json": False, "--verbose": False},
    "login": {"--local": False},
    "logout": {},
    "install": {"--no-plugins": False, "--no-dependencies": False, "--reinstall": False, "--use-language-version-tools": False},
    "cancel": {"--yes": False},
    "logs": {"--follow": False, "--since": True, "--resource": True, "--json": False, "--config-file": True},
    "stack": {"--show-urns": False, "--show-ids": False, "--show-name": False, "--show-secrets": False},
    "stack init": {"--secrets-provider": True, "--no-select": False, "--copy-config-from": True},
    "stack select": {"--create": False, "--secrets-provider": True},
    "stack unselect": {},
    "stack ls": {"--json": False, "--all": False, "--project": True},
    "stack rm": {"--yes": False, "--force": False, "--preserve-config": False},
    "stack rename": {},
    "stack output": {"--json": False, "--shell": False, "--show-secrets": False},
    "stack export": {"--file": True, "--show-secrets": False},
    "stack import": {"--file": True, "--force": False},
    "stack history": {"--json": False, "--show-secrets": False, "--page-size": True, "--page": True, "--full-dates": False},
    "stack tag get": {},
    "stack tag set": {},
    "stack tag rm": {},
    "stack tag ls": {"--json": False},
    "stack change-secrets-provider": {},
    "state delete": {"--yes": False, "--force": False, "--all": False, "--target-dependents": False},
    "state rename": {"--yes": False},
    "state protect": {"--yes": False, "--all": False},
    "state unprotect": {"--yes": False, "--all": False},
    "state taint": {"--yes": False, "--all": False},
    "state untaint": {"--yes": False, "--all": False},
    "state move": {"--yes": False, "--source": True, "--dest": True, "--include-parents": False},
    "config": {"--json": False, "--show-secrets": False, "--config-file": True},
    "config get": {"--json": False, "--path": False, "--config-file": True},
    "config set": {"--path": False, "--secret": False, "--plaintext": False, "--type": True, "--config-file": True},
    "config set-all": {"--path": False, "--secret": True, "--plaintext": True, "--json": True, "--config-file": True},
    "config rm": {"--path": False, "--config-file": True},
    "config rm-all": {"--path": False, "--config-file": True},
    "config refresh": {"--force": False, "--config-file": True},
    "plugin ls": {"--json": False, "--project": False},
    **{name: {} for name in UNSUPPORTED},
}
# How many arguments a command takes at most besides its flags; those not named take none.
POSITIONAL_MAX: Final = {
    "import": 3,
    "login": 1,
    "logout": 1,
    "cancel": 1,
    "stack init": 1,
    "stack select": 1,
    "stack rm": 1,
    "stack rename": 1,
    "stack output": 1,
    "stack tag get": 1,
    "stack tag set": 2,
    "stack tag rm": 1,
    "stack change-secrets-provider": 1,
    "state delete": 1000,
    "state rename": 2,
    "state protect": 1000,
    "state unprotect": 1000,
    "state taint": 1000,
    "state untaint": 1000,
    "state move": 1000,
    "config get": 1,
    "config set": 2,
    "config rm": 1,
    "config rm-all": 1000,
}
ALIASES: Final = {
    "update": "up",
    "pre": "preview",
    "history": "stack history",
    "stack list": "stack ls",
    "stack remove": "stack rm",
    "state remove": "state delete",
    "state rm": "state delete",
    "stack new": "stack init",
    "plugin list": "plugin ls",
    "dn": "destroy",
    "down": "destroy",
    "config remove": "config rm",
    "config remove-all": "config rm-all",
}


@dataclass(slots=True)
class Arguments:
    """A read command line."""

    command: str
    positional: list[str] = field(default_factory=list)
    flags: dict[str, list[str]] = field(default_factory=dict)

    def has(self, flag: str) -> bool:
        """A switch that is on; `--flag=false` is off."""
        return self.flags.get(flag, ["false"])[-1] not in ("false", "0")

    def value(self, flag: str, default: str = "") -> str:
        return self.flags.get(flag, [default])[-1]

    def values(self, flag: str) -> tuple[str, ...]:
        return tuple(self.flags.get(flag, ()))

    def number(self, flag: str, default: int) -> int:
        text = self.value(flag, str(default))
        if not text.isdigit():
            raise UsageError(f"{flag}: expected a number, got {text!r}")
        return int(text)

    def one(self, what: str) -> str:
        """The single positional argument. Raises UsageError."""
        if len(self.positional) != 1:
            raise UsageError(f"{self.command}: expected one argument, {what}, got {len(self.positional)}")
        return self.positional[0]


def _command_of(words: list[str]) -> tuple[str, int]:
    """The longest known command the words begin with, and how many words it takes."""
    for count in (3, 2, 1):
        name = " ".join(words[:count])
        name = ALIASES.get(name, name)
        if len(words) >= count and name in COMMANDS:
            return name, count
    return "", 0


def parse(argv: list[str]) -> Arguments:
    """Raises UsageError for an unknown command or flag, or a flag that lacks its value."""
    options, rest = _split_at_separator(argv)
    words = _words(options)
    command, count = _command_of(words)
    if command in UNSUPPORTED:
        raise UsageError(f"{command}: not supported by the embedded engine; {UNSUPPORTED[command]}")
    if not command:
        if "--help" in argv or "-h" in argv or not words:
            return Arguments("help")
        raise UsageError(f"unknown command {' '.join(words[:2])!r}; see `--help`")
    known = {**WITHOUT_MEANING, **EVERYWHERE, **COMMANDS[command]}
    arguments = Arguments(command)
    _read(options, known, arguments)
    arguments.positional = [*arguments.positional[count:], *rest]
    if len(arguments.positional) > POSITIONAL_MAX.get(command, 0):
        raise UsageError(f"{command}: unexpected argument {arguments.positional[POSITIONAL_MAX.get(command, 0)]!r}; see `--help`")
    return arguments


def _split_at_separator(argv: list[str]) -> tuple[list[str], list[str]]:
    if "--" in argv:
        index = argv.index("--")
        return argv[:index], argv[index + 1 :]
    return argv, []


def _words(options: list[str]) -> list[str]:
    """The command's words, as far as they can be told before the command is known."""
    words: list[str] = []
    skip = False
    for item in options:
        if skip:
            skip = False
        elif item.startswith("-"):
            name = SHORT.get(item, item)
            skip = "=" not in item and {**WITHOUT_MEANING, **EVERYWHERE}.get(name, False)
        else:
            words.append(item)
    return words


def _read(options: list[str], known: dict[str, bool], arguments: Arguments) -> None:
    items = iter(options)
    for item in items:
        if not item.startswith("-") or item == "-":
            arguments.positional.append(item)
            continue
        name, equals, value = item.partition("=")
        name = SHORT_OF_COMMAND.get((arguments.command, name)) or SHORT.get(name, name)
        if name not in known:
            raise UsageError(f"{arguments.command}: unknown or unsupported flag {item.partition('=')[0]}")
        if not equals and known[name]:
            value = next(items, "")
            if not value and name not in ("--message",):
                raise UsageError(f"{arguments.command}: {name} needs a value")
        elif not equals:
            value = "true"
        arguments.flags.setdefault(name, []).append(value)
