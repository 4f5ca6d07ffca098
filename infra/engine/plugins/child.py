"""Starts Python programs and plugins for the engine. Standard library only: it runs under the child's own interpreter.

    child.py path FOLDER ENGINE_ADDRESS      a plugin folder, as `python FOLDER ENGINE_ADDRESS`
    child.py module NAME ENGINE_ADDRESS      a module, as `python -m NAME ENGINE_ADDRESS`
    child.py program                         a Pulumi program; what to run comes as one line of JSON on stdin

The child asks the kernel to be killed when the engine dies (kill -9 cannot be caught), so that no plugin outlives it.
"""

import os
import signal
import sys
import types


def die_with_parent() -> None:
    """Linux: PR_SET_PDEATHSIG. Elsewhere the child outlives a killed engine and must be ended by hand."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    parent = os.getppid()
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent or parent == 1:
        os._exit(1)


def run_plugin(kind: str, target: str) -> None:
    import runpy

    sys.argv = [target, *sys.argv[3:]]
    if kind == "module":
        sys.path[0] = os.getcwd()  # noqa: PTH109 - pathlib would be one more import in every child
        runpy.run_module(target, run_name="__main__", alter_sys=True)
    else:
        del sys.path[0]
        runpy.run_path(target, run_name="__main__")


def run_program() -> int:
    # The import takes most of the start: it happens while the engine is still opening its port.
    import asyncio
    import gc
    import json
    import logging
    import traceback
    from concurrent.futures import ThreadPoolExecutor

    import grpc  # type: ignore[import-untyped]
    import pulumi
    import pulumi.runtime

    gc.set_threshold(50_000)  # as in the engine: a program that registers makes much that stays
    order = json.loads(sys.stdin.readline())
    sys.stdin = open(os.devnull)  # noqa: SIM115, PTH123 - stays open for the life of the program
    os.environ["PULUMI_CONFIG"] = json.dumps(order["config"])
    os.environ["PULUMI_CONFIG_SECRET_KEYS"] = json.dumps(order["secret_keys"])
    if not order["is_debug"]:
        # The SDK tells the engine of four small steps per resource, each a call that it waits for: four fifths of all calls, a
        # third of a large preview, for text that is shown with --debug only.
        pulumi.log.debug = lambda *arguments, **keywords: None
    pulumi.runtime.config.set_all_config(order["config"], order["secret_keys"])
    pulumi.runtime.settings.reset_options(
        project=order["project"],
        stack=order["stack"],
        organization=order["organization"],
        root_directory=order["root_directory"],
        monitor_address=order["monitor"],
        engine_address=order["engine"],
        preview=order["is_preview"],
        parallel=order["parallel"],
    )
    program = order["program"]
    sys.argv = [program]
    del sys.path[0]  # the engine's folder: its module names must not be importable by the program
    os.chdir(order["folder"])

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    # The SDK leaves tasks unawaited when a program fails; asyncio's complaints would bury the cause.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    # Each registration under way holds a thread of the SDK's; too few would serialise slow resources.
    loop.set_default_executor(ThreadPoolExecutor(max_workers=128))
    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(lambda: _run_path(program)))
    except pulumi.RunError as exc:
        if "Resource monitor has terminated" in str(exc):
            return 3  # the engine has said why
        pulumi.log.error(str(exc))
        return 1
    except grpc.RpcError as exc:
        if exc.code() == grpc.StatusCode.UNAVAILABLE:
            return 3
        pulumi.log.error(f"Program failed with an unhandled exception:\n{traceback.format_exc()}")
        return 1
    except SystemExit as exc:
        return int(exc.code or 0) if isinstance(exc.code, int | None) else 1
    except BaseException as exc:  # noqa: BLE001 - whatever the user's program raises is reported as its failure
        text = "".join(traceback.format_exception(type(exc), exc, _user_frames(exc)))
        pulumi.log.error(f"Program failed with an unhandled exception:\n{text}")
        return 1
    return 0


def _run_path(program: str) -> None:
    import runpy

    runpy.run_path(program, run_name="__main__")


def _user_frames(exc: BaseException) -> "types.TracebackType | None":
    """The traceback from the first frame of the user's program on, all of it where there is none."""
    start = exc.__traceback__
    frame = start
    while frame is not None:
        name = frame.tb_frame.f_code.co_filename
        if not name.startswith("<frozen") and name != __file__ and "/pulumi/" not in name and "/asyncio/" not in name:
            return frame
        frame = frame.tb_next
    return start


if __name__ == "__main__":
    die_with_parent()
    if sys.argv[1] == "program":
        status = run_program()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # worker threads may still wait for an engine that has stopped answering
    run_plugin(sys.argv[1], sys.argv[2])
