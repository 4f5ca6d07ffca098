"""(template name, values) -> text. A result that does not pass its template's check reaches nobody.

Templates live in `templates/`; an undefined name is an error, never an empty text. `toml` in a template quotes a value so
that whatever text it holds stays one value.

    RenderingError     an unknown template, an undefined name, a value that TOML cannot hold, a result that fails its check
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import jinja2

from infra.desired_state import railwaytoml

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"


class RenderingError(Exception):
    """See the module docstring."""


def toml_value(value: object) -> str:
    """One TOML value. RenderingError where it would not read back as the same."""
    written = toml_text(value)
    try:
        written.encode()  # half a surrogate pair is text to Python and to nobody else
        if tomllib.loads(f"value = {written}")["value"] == value:
            return written
    except (tomllib.TOMLDecodeError, UnicodeError):
        pass
    raise RenderingError(f"expected a value that TOML can hold, got {type(value).__name__}")


def toml_text(value: object) -> str:
    match value:
        case bool() | int():
            return json.dumps(value)
        case str():
            # JSON's escapes are TOML's, but for DEL, which JSON leaves bare and TOML forbids.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list() | tuple():
            return f"[{', '.join(toml_text(item) for item in value)}]"
        case _:
            raise RenderingError(f"expected text, a number, true, false or a list, got {type(value).__name__}")


def toml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_value(name)


def check_railway_toml(text: str) -> None:
    try:
        railwaytoml.parse(text)
    except railwaytoml.RailwayFileError as error:
        raise RenderingError(str(error)) from error


def check_dockerfile(text: str) -> None:
    """No parser of Dockerfiles is at hand; what matters most here is that it never runs as root and has one start command."""
    instructions = [line.split()[0] for line in text.splitlines() if re.match(r"[A-Z]+ ", line)]
    for needed in ("FROM", "USER", "CMD"):
        if needed not in instructions:
            raise RenderingError(f"Dockerfile: expected an instruction {needed}, got none")
    if instructions[0] != "FROM":
        raise RenderingError(f"Dockerfile: expected FROM first, got {instructions[0]}")


CHECKS: Mapping[str, Callable[[str], None]] = {"railway.toml.j2": check_railway_toml, "Dockerfile.j2": check_dockerfile}


@cache
def templates() -> jinja2.Environment:
    # Autoescaping is HTML's; TOML is quoted by the filter, which knows TOML.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"toml": toml_value, "toml_key": toml_key}
    return environment


def render(template: str, values: Mapping[str, object]) -> str:
    """The checked text. RenderingError."""
    check = CHECKS.get(template)
    if check is None:
        raise RenderingError(f"templates/{template}: expected one of {', '.join(CHECKS)}; a template needs a check")
    try:
        text = templates().get_template(template).render(values)
    except jinja2.TemplateError as error:
        raise RenderingError(f"templates/{template}: {error.message or type(error).__name__}") from error
    check(text)
    return text


def render_railway_toml(file: railwaytoml.RailwayFile, service: str) -> str:
    """The file's text; reading it back gives the very same file."""
    absent = {"build": None, "deploy": None, "environments": None}
    text = render("railway.toml.j2", {"service": service, **absent, **railwaytoml.document(file)})
    if railwaytoml.parse(text) != file:
        raise RenderingError("templates/railway.toml.j2: the text does not read back as the file that it was made from")
    return text


def render_dockerfile() -> str:
    """The image of the service. Its Python is the oldest that the project supports: what runs there runs everywhere."""
    return render("Dockerfile.j2", {"python": "3.11", "command": ["python", "-m", "service"]})
