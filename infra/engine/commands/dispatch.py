"""From a command's name to what carries it out; each family's module is loaded only when it is asked for."""

import os
import sys

from infra.engine.commands.arguments import COMMANDS, UNSUPPORTED, Arguments


def dispatch(arguments: Arguments) -> int:
    """Exit code. Raises EngineError."""
    command = arguments.command
    if folder := arguments.value("--cwd"):
        os.chdir(folder)
    if command == "help" or arguments.has("--help"):
        sys.stdout.write(_help(command))
        return 0
    if command == "version":
        from infra.engine.workspace.versions import VERSION

        sys.stdout.write(f"v{VERSION}+embedded\n")
        return 0
    family = command.split()[0]
    if family in ("up", "preview", "refresh", "destroy", "import"):
        from infra.engine.commands.updating import run_update

        return run_update(arguments)
    if family == "config":
        from infra.engine.commands.configuration import run_config

        return run_config(arguments)
    if family == "state" or command == "stack change-secrets-provider":
        from infra.engine.commands.state import run_state

        return run_state(arguments)
    if family == "logs":
        from infra.engine.commands.logs import run_logs

        return run_logs(arguments)
    if family in ("stack", "cancel"):
        from infra.engine.commands.stacks import run_stack

        return run_stack(arguments)
    from infra.engine.commands.information import run_information

    return run_information(arguments)


def _help(command: str) -> str:
    if command in COMMANDS:
        flags = "\n".join(f"  {flag}{' VALUE' if takes_value else ''}" for flag, takes_value in sorted(COMMANDS[command].items()))
        return f"python -m infra.engine {command} [flags]\n\n{flags}\n  --stack VALUE\n"
    names = "\n".join(f"  {name}" for name in sorted(set(COMMANDS) - set(UNSUPPORTED)))
    return f"An embedded engine that runs Pulumi programs; commands as of the pulumi CLI.\n\n{names}\n"
