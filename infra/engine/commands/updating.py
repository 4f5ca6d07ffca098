"""up, preview, refresh, destroy: from arguments to a finished update.

Order matters for the time a preview takes: the program and the plugins we are likely to need are started first, and
only then do we load gRPC, so that three interpreters start at once. The port they will call is reserved before that.
"""

import asyncio
import contextlib
import gc
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.engine.commands.arguments import Arguments
from infra.engine.commands.stack_choice import open_session, workspace_of
from infra.engine.errors import EngineError, UsageError
from infra.engine.model.stack_name import stack_urn
from infra.engine.model.urns import is_provider_type, package_of
from infra.engine.planning.options import Options
from infra.engine.plugins import location as plugins
from infra.engine.plugins.processes import Processes
from infra.engine.running import program
from infra.engine.state.backend import write_atomically
from infra.engine.state.locks import StackLock
from infra.engine.workspace.session import Session
from infra.engine.workspace.versions import VERSION, require

if TYPE_CHECKING:
    from infra.engine.planning.import_file import ImportSpec
    from infra.engine.planning.update_plan import Recorder
    from infra.engine.running.update import Result, Update


COLLECT_AFTER = 100_000  # new objects; Python's own 700 is meant for programs that make garbage in circles


def run_update(arguments: Arguments) -> int:
    kind = arguments.command
    _refuse_unsupported(arguments)
    is_preview = kind == "preview" or arguments.has("--preview-only")
    if not is_preview and not arguments.has("--yes") and (not sys.stdin.isatty() or arguments.has("--non-interactive")):
        raise UsageError(f"--yes must be passed in to proceed when running in non-interactive mode: {kind} --yes")
    session = open_session(workspace_of(arguments), arguments)
    require(VERSION, session.project.required_version)
    if kind == "import":
        _imports(session, arguments)  # wrong use is told before anything starts
    _set_config(session, arguments)
    options = _options(arguments, kind, is_preview)
    if is_preview:
        return _run(session, kind, options, arguments)
    if not arguments.has("--yes") and not arguments.has("--skip-preview"):
        shown = _run(session, kind, _options(arguments, kind, True), arguments)
        if shown or input(f"Do you want to perform this {kind}? (yes/no) ").strip().lower() not in ("y", "yes"):
            return shown or 1
    with StackLock(session.backend.lock_folder(session.name)):
        return _run(session, kind, options, arguments)


def _refuse_unsupported(arguments: Arguments) -> None:
    if arguments.values("--exclude") and (arguments.values("--target") or arguments.values("--target-replace")):
        raise UsageError(f"{arguments.command}: --target and --exclude cannot be used together")
    if arguments.has("--skip-pending-creates") and arguments.has("--clear-pending-creates"):
        raise UsageError("cannot set both --skip-pending-creates and --clear-pending-creates")


def _imports(session: Session, arguments: Arguments) -> "tuple[list[ImportSpec], bool]":
    """What `import` is to import, and whether to protect it. Raises UsageError."""
    from infra.engine.planning.import_file import parse_import_file, single_import

    if arguments.has("--from") or arguments.has("--out") or arguments.value("--generate-code", "true") != "false":
        raise UsageError("import: generating code is not supported; pass --generate-code=false and write the program by hand")
    if path := arguments.value("--file"):
        try:
            document = json.loads(Path(path).read_text())
        except (OSError, ValueError) as exc:
            raise UsageError(f"import: cannot read {path}: {exc}") from exc
    elif len(arguments.positional) == 3:
        properties = tuple(p for p in arguments.value("--properties").split(",") if p)
        token, name, identity = arguments.positional
        document = single_import(token, name, identity, arguments.value("--parent"), arguments.value("--provider"), properties)
    else:
        raise UsageError("import: expected TYPE NAME ID, or --file FILE")
    stack = session.name
    return (
        parse_import_file(document, stack.stack, stack.project, stack_urn(stack)),
        arguments.value("--protect", "true") != "false",
    )


def _set_config(session: Session, arguments: Arguments) -> None:
    from infra.engine.workspace import config

    for pair in arguments.values("--config"):
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--config {pair!r}: expected KEY=VALUE")
        config.set_value(session.settings, key, value, arguments.has("--config-path"), session.project.name)
    if arguments.values("--config"):
        session.settings.save()


def _options(arguments: Arguments, kind: str, is_preview: bool) -> Options:
    return Options(
        kind=kind,
        is_preview=is_preview,
        with_program=_is_program_run(arguments),
        is_refresh=kind == "refresh" or arguments.has("--refresh"),
        targets=(*arguments.values("--target"), *arguments.values("--target-replace")),
        excludes=arguments.values("--exclude"),
        replaces=(*arguments.values("--replace"), *arguments.values("--target-replace")),
        with_dependents=arguments.has("--exclude-dependents" if arguments.values("--exclude") else "--target-dependents"),
        parallel=arguments.number("--parallel", 0),
        continue_on_error=arguments.has("--continue-on-error"),
        exclude_protected=arguments.has("--exclude-protected"),
        is_debug=arguments.has("--debug"),
    )


def adopt_pending(document: dict[str, Any], pairs: tuple[str, ...]) -> None:
    """--import-pending-creates URN ID: what an interrupted update made is taken over under the id that somebody found.

    The refresh that follows reads it. Raises UsageError for a URN that no update was interrupted at."""
    words = [word for value in pairs for word in value.replace(",", " ").split()]
    if len(words) % 2:
        raise UsageError("--import-pending-creates: each URN must be followed by an ID: found an odd number of entries")
    latest = document["checkpoint"].get("latest") or {}
    for urn, identity in zip(words[::2], words[1::2], strict=True):
        pending = latest.get("pending_operations") or []
        found = next((op for op in pending if op.get("type") == "creating" and op["resource"]["urn"] == urn), None)
        if found is None:
            raise UsageError(f"--import-pending-creates: no update was interrupted while it created '{urn}'")
        latest["pending_operations"] = [op for op in pending if op is not found]
        latest.setdefault("resources", []).append({**found["resource"], "id": identity})


def _is_program_run(arguments: Arguments) -> bool:
    """--run-program, or PULUMI_RUN_PROGRAM where the flag is not given."""
    if arguments.values("--run-program"):
        return arguments.has("--run-program")
    return os.environ.get("PULUMI_RUN_PROGRAM", "").lower() in ("1", "true")


def _run(session: Session, kind: str, options: Options, arguments: Arguments) -> int:
    document = session.document()
    if arguments.has("--clear-pending-creates"):
        (document["checkpoint"].get("latest") or {}).pop("pending_operations", None)
    adopt_pending(document, arguments.values("--import-pending-creates"))
    holder, address = _reserve_port()
    processes = Processes(address)
    runner: program.LocalProgram | program.InlineProgram | None = None
    try:
        if kind in ("up", "preview") or (options.with_program and kind != "import"):
            client = arguments.value("--client")
            runner = program.InlineProgram(client) if client else program.LocalProgram(program.spawn(session.project))
        _start_likely_plugins(session, document, processes)
        return _run_prepared(session, kind, options, arguments, document, (holder, processes, runner))
    finally:
        holder.close()
        if runner is not None:
            runner.stop()
        processes.stop_all()


def _run_prepared(
    session: Session, kind: str, options: Options, arguments: Arguments, document: dict[str, Any], started: Any
) -> int:
    from infra.lean_imports import use_protos_alone

    use_protos_alone()
    # An update makes some hundred long-lived objects per resource and hardly a cycle; looking for cycles again and again
    # took a tenth of a large preview.
    gc.set_threshold(COLLECT_AFTER)
    from infra.engine.display.lines import Display
    from infra.engine.planning.update_plan import state_digest
    from infra.engine.running.update import Prepared, Update, outputs_of

    digest_before = state_digest(document)
    update = Update(kind, session, options, document, Prepared(*started))
    if kind == "import":
        update.imports = _imports(session, arguments)
    is_json = arguments.has("--json")
    screen = None
    if not is_json and sys.stdout.isatty() and not arguments.has("--non-interactive") and os.environ.get("TERM") != "dumb":
        from infra.engine.display.live import Screen, Tree

        screen = Screen(Tree(options.is_preview), _write)
        update.events.subscribe(screen.on_event)
    display = Display(_print, options.is_preview, arguments.has("--diff"), is_quiet=is_json, is_live=screen is not None)
    display.shown = frozenset(flag for flag in ("--show-sames", "--show-reads", "--show-config", "--urns") if arguments.has(flag))
    display.locate = update.deployment.source_line
    digest: list[dict[str, Any]] = []
    if (is_json and options.is_preview) or arguments.value("--import-file"):
        update.events.subscribe(digest.append)
    if is_json and not options.is_preview:  # as Pulumi's CLI: a line of JSON per event, as it happens
        update.events.subscribe(lambda event: _print(json.dumps(event)))
    update.events.subscribe(display.on_event)
    if not is_json:
        verb = {
            "up": "Updating",
            "preview": "Previewing update",
            "refresh": "Refreshing",
            "destroy": "Destroying",
            "import": "Importing",
        }[kind]
        _print(f"{'Previewing ' + kind if options.is_preview and kind != 'preview' else verb} ({session.name.stack}):")
    recorder = _bind_plan(arguments, update, digest_before)
    if not options.is_preview:
        session.backend.back_up(session.name)
    began = int(time.time())
    try:
        result = asyncio.run(update.run(arguments.value("--event-log")))
    finally:
        if screen is not None:
            screen.close()
    if is_json and options.is_preview:
        from infra.engine.display.digest import preview_digest

        _print(json.dumps(preview_digest(digest, result.duration_s), indent=2))
    outputs = (
        {} if arguments.has("--suppress-outputs") or kind != "up" else outputs_of(result.states, update.deployment.stack_urn)
    )
    display.summarise(result.duration_s, outputs)
    if recorder is not None and result.is_success:
        plan = recorder.document(digest_before, session.settings.config, VERSION, update.deployment.crypter)
        write_atomically(Path(arguments.value("--save-plan")), json.dumps(plan, indent=4) + "\n")
    if path := arguments.value("--import-file"):
        from infra.engine.display.import_document import import_document

        write_atomically(Path(path), json.dumps(import_document(digest), indent=2) + "\n", 0o644)
    if not options.is_preview:
        _record(session, kind, arguments, result, began)
    return _verdict(kind, arguments, result, options)


def _bind_plan(arguments: Arguments, update: "Update", digest: str) -> "Recorder | None":
    """Holds the update to `--plan`, or records it for `--save-plan`. Raises StateError for a plan of another state."""
    from infra.engine.planning.update_plan import Guard, Recorder

    if path := arguments.value("--plan"):
        try:
            plan = json.loads(Path(path).read_text())
        except (OSError, ValueError) as exc:
            raise UsageError(f"up: --plan {path}: cannot read it: {exc}") from exc
        guard = Guard(plan, path, update.deployment.crypter)
        guard.require_state(digest)
        update.deployment.watch = guard
    if not arguments.value("--save-plan"):
        return None
    update.deployment.watch = recorder = Recorder()
    return recorder


def _verdict(kind: str, arguments: Arguments, result: "Result", options: Options) -> int:
    if not result.is_success:
        raise EngineError(f"{'preview' if options.is_preview else {'up': 'update'}.get(kind, kind)} failed")
    if arguments.has("--expect-no-changes") and result.has_changes:
        raise EngineError(
            "no changes were expected but changes occurred"
            if not options.is_preview
            else "no changes were expected but changes were proposed"
        )
    return 0


def _record(session: Session, kind: str, arguments: Arguments, result: "Result", began: int) -> None:
    entry = {
        "kind": {"up": "update", "import": "resource-import"}.get(kind, kind),
        "startTime": began,
        "message": arguments.value("--message"),
        "environment": {"exec.kind": arguments.value("--exec-kind") or "cli"},
        "config": session.settings.config,
        "result": "succeeded" if result.is_success else "failed",
        "endTime": int(time.time()),
        "resourceChanges": result.changes,
    }
    session.backend.add_history(session.name, entry)
    if kind == "destroy" and arguments.has("--remove") and result.is_success:
        session.backend.remove(session.name)


def _reserve_port() -> tuple[socket.socket, str]:
    """A free port that our server can still bind, since both sockets allow reuse; children are told it before we listen."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind(("127.0.0.1", 0))
    return holder, f"127.0.0.1:{holder.getsockname()[1]}"


def _start_likely_plugins(session: Session, document: dict[str, Any], processes: Processes) -> None:
    """The providers of the last update will most probably be wanted again. A missing one is reported when it is."""
    for resource in (document["checkpoint"].get("latest") or {}).get("resources") or []:
        if is_provider_type(resource["type"]) and package_of(resource["type"]) != "pulumi" and not resource.get("delete"):
            version = (resource.get("inputs") or {}).get("version") or ""
            with contextlib.suppress(EngineError):
                command = plugins.locate(session.project, package_of(resource["type"]), str(version), session.workspace.home)
                processes.start_ahead(command)


def _print(line: str) -> None:
    _write(line + "\n")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
