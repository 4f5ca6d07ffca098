"""`python -m infra.engine COMMAND ...`: a pulumi-compatible command."""

import gc
import os
import sys


def main(argv: list[str]) -> int:
    """Exit code: 0 done, 1 failed, 2 wrong usage. Errors are one line on stderr; a traceback means a bug of ours."""
    # gRPC tells of every closed connection on stderr; our children inherit the wish.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from infra.engine.commands.arguments import parse
    from infra.engine.commands.dispatch import dispatch
    from infra.engine.errors import EngineError, UsageError
    from infra.engine.proxies import VARIABLE, without_proxy

    os.environ[VARIABLE] = without_proxy(os.environ)
    try:
        return dispatch(parse(argv))
    except UsageError as exc:
        sys.stderr.write(f"error: {exc}\n")
        return 2
    except EngineError as exc:
        sys.stderr.write(f"error: {exc}\n")
        return 1
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        return 130


if __name__ == "__main__":
    status = main(sys.argv[1:])
    # The interpreter ends with a search of all that is left for cycles; the process's end frees it as well.
    gc.freeze()
    sys.exit(status)
