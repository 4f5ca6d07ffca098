"""How long a person waits: a fresh clone from nothing to proven, then each command again.

    python -m loadtests.bench.commands [--rounds 3]

Prints seconds of wall clock, process start included, beside the project's targets. Makes a clone in a temporary folder and
leaves nothing. The first `up` installs the requirements: its figure is meant with warm package downloads.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND_TIMEOUT_S = 600
TARGETS_S = {"up, clean clone": 90.0, "up again, no gate": 8.0, "preview": 2.0}


def run(clone: Path, *words: str) -> float:
    """Seconds; raises CalledProcessError where the command failed (a gate that cannot pass here is told, not hidden)."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PULUMI_", "CACHED_AUTH_"))}
    begun = time.monotonic()
    done = subprocess.run(
        ["./cached-auth", *words],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        print(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
    return time.monotonic() - begun


def show(name: str, seconds: Sequence[float]) -> None:
    target = f"   (target {TARGETS_S[name]:g} s)" if name in TARGETS_S else ""
    ordered = sorted(seconds)
    print(
        f"{name:20} min {ordered[0]:6.2f} s   median {ordered[len(ordered) // 2]:6.2f} s   max {ordered[-1]:6.2f} s{target}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = range(parser.parse_args().rounds)
    with tempfile.TemporaryDirectory(prefix="cached-auth-bench-") as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True, timeout=60)
        try:
            show("up, clean clone", [run(clone, "up")])
            show("up again, no gate", [run(clone, "up", "--skip-gate") for _ in rounds])
            show("preview", [run(clone, "preview") for _ in rounds])
            show("refresh", [run(clone, "refresh") for _ in rounds])
            show("outputs", [run(clone, "outputs") for _ in rounds])
            show("loadtest", [run(clone, "loadtest")])
        finally:
            show("destroy", [run(clone, "destroy", "--yes")])


if __name__ == "__main__":
    main()
