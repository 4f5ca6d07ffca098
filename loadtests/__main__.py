"""`python -m loadtests`. Only `run` patches the standard library for gevent, and it must do so before anything else is loaded."""

import sys

if sys.argv[1:2] == ["run"]:
    from gevent import monkey  # type: ignore[import-untyped]  # gevent carries no types

    monkey.patch_all()

from loadtests.cli import main

if __name__ == "__main__":
    sys.exit(main())
