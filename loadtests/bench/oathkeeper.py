"""Ory Oathkeeper as the verifier to be compared with: its decision API with the `jwt` authenticator and nothing else.

It checks signature and claims for each request and asks nobody whether the session was ended. Runs only where `oathkeeper` is on
PATH.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtests.bench.processes import free_port
from loadtests.bench.replica_stack import Program, spawn, wait_until_listens
from loadtests.bench.validate import PATH

DECISIONS = f"/decisions{PATH}"


def is_on_path() -> bool:
    return shutil.which("oathkeeper") is not None


@contextmanager
def running_oathkeeper(directory: Path, jwks_url: str, issuer: str) -> Iterator[tuple[str, Program]]:
    """Its decision API's URL and process. StackFailed where it does not come up."""
    home = directory / "oathkeeper"
    home.mkdir()
    ports = {name: free_port() for name in ("proxy", "api", "prometheus")}
    rule = {
        "id": "verify",
        "match": {"url": f"http://<.*>{PATH}", "methods": ["GET"]},
        "upstream": {"url": "http://127.0.0.1:9"},
        "authenticators": [{"handler": "jwt"}],
        "authorizer": {"handler": "allow"},
        "mutators": [{"handler": "noop"}],
    }
    (home / "rules.json").write_text(json.dumps([rule]))
    trust = {
        "jwks_urls": [jwks_url],
        "trusted_issuers": [issuer],
        "target_audience": ["authenticated"],
        "allowed_algorithms": ["ES256"],
    }
    config = {
        "serve": {name: {"host": "127.0.0.1", "port": port} for name, port in ports.items()},
        "log": {"level": "error"},
        "access_rules": {"repositories": [f"file://{home}/rules.json"]},
        "authenticators": {"jwt": {"enabled": True, "config": trust}},
        "authorizers": {"allow": {"enabled": True}},
        "mutators": {"noop": {"enabled": True}},
        "errors": {"fallback": ["json"], "handlers": {"json": {"enabled": True}}},
    }
    (home / "config.json").write_text(json.dumps(config))
    program = spawn("oathkeeper", [str(shutil.which("oathkeeper")), "serve", "-c", str(home / "config.json")], {}, directory)
    try:
        wait_until_listens(ports["api"], program)
        yield f"http://127.0.0.1:{ports['api']}", program
    finally:
        program.end()
