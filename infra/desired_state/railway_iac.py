"""railway.toml's successor: Railway's infrastructure as code, `.railway/railway.ts`, from the same desired state.

Railway reads it with its own CLI (`railway config plan`, `railway config apply`), so that nobody who leaves this project after
2026-12-01 starts from nothing. The shape is what `railway config pull` writes (docs.railway.com/infrastructure-as-code and
railwayapp/cli, src/commands/config/mod.rs): four settings have names of their own, the others stay in `build` and `deploy`
under their names of the API. Values are written as JSON, which is TypeScript, so that no text in them can become code.

    RailwayFile --service_options--> options --railway_ts--> text
    options --file_of--> RailwayFile
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from infra.desired_state.railwaytoml import RailwayFile, document, merged
from infra.desired_state.railwaytoml_schema import PLACEMENT

Options = dict[str, Any]

NAMES: Mapping[str, str] = {
    "startCommand": "start",
    "healthcheckPath": "healthcheck",
    "healthcheckTimeout": "healthcheckTimeout",
}
"""Keys of [deploy] that are options of the service itself; PLACEMENT is `replicas`."""

HEADER = """\
// The services of one stack as Railway's infrastructure as code, rendered by `./cached-auth render --format iac`.
// Keep it as .railway/railway.ts and look at `railway config plan` before `railway config apply`.
// Variables, volumes and domains are not in here; `railway config pull` shows how they are written.
import { defineRailway, project, service } from "railway/iac";
"""


def service_options(file: RailwayFile, environment: str | None = None) -> Options:
    """What `service(name, options)` gets in one environment; None: in those that the file does not name."""
    effective = document(
        merged(file, environment) if environment is not None else RailwayFile(build=file.build, deploy=file.deploy)
    )
    options: Options = {}
    deploy = effective.get("deploy")
    if isinstance(build := effective.get("build"), dict) and build:
        options["build"] = build
    if isinstance(deploy, dict):
        rest = dict(deploy)
        options |= {name: rest.pop(key) for key, name in NAMES.items() if key in rest}
        if PLACEMENT in rest:
            options["replicas"] = {region: entry["numReplicas"] for region, entry in rest.pop(PLACEMENT).items()}
        if rest:
            options["deploy"] = rest
    return options


def file_of(options: Options) -> RailwayFile:
    """The way back from `service_options`."""
    deploy = {**options.get("deploy", {}), **{key: options[name] for key, name in NAMES.items() if name in options}}
    if "replicas" in options:
        deploy[PLACEMENT] = {region: {"numReplicas": count} for region, count in options["replicas"].items()}
    tables = {"build": options.get("build"), "deploy": deploy or None}
    return msgspec.convert({name: table for name, table in tables.items() if table is not None}, RailwayFile)


def railway_ts(project: str, files: Mapping[str, RailwayFile]) -> str:
    """The text of `.railway/railway.ts`: one service for each file, by its name."""
    services = "".join(_service(name, file) for name, file in files.items())
    context = "ctx" if any(file.environments for file in files.values()) else ""
    return f"""{HEADER}
export default defineRailway(({context}) => {{
  const resources = [
{services}  ];
  return project({_literal(project)}, {{ resources }});
}});
"""


def _service(name: str, file: RailwayFile) -> str:
    """An environment's settings replace single keys, so each is written out whole: what is read is what holds."""
    own = "".join(
        f"ctx.environment === {_literal(environment)} ? {_literal(service_options(file, environment), 4)} : "
        for environment in file.environments or {}
    )
    return f"    service({_literal(name)}, {own}{_literal(service_options(file), 4)}),\n"


def _literal(value: object, indent: int = 0) -> str:
    """JSON in ASCII is a TypeScript literal, whatever text is in it; its keys here are ours and none is `__proto__`."""
    return json.dumps(value, indent=2 if indent else None).replace("\n", "\n" + " " * indent)
