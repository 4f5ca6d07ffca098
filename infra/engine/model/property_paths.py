"""Property paths as in ignoreChanges and `config --path`: `a.b[0]["c d"].*`."""

import re
from typing import Final

from infra.engine.errors import UsageError
from infra.engine.model.values import Properties, Secret, Value

_STEP: Final = re.compile(r"""\.?([^.\[\]"]+)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|\[(\*)\]""")
_ESCAPE: Final = re.compile(r'\\(["\\])')
_ABSENT: Final = object()

Path = tuple[str | int, ...]


def parse(text: str) -> Path:
    """The steps of a path; `*` stands for every key or item. Raises UsageError."""
    steps: list[str | int] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise UsageError(f"invalid property path {text!r}: cannot read it from character {position + 1}")
        name, index, quoted, star = match.groups()
        steps.append(int(index) if index is not None else "*" if star else name or _ESCAPE.sub(r"\1", quoted))
        position = match.end()
    if not steps:
        raise UsageError("invalid property path: it is empty")
    return tuple(steps)


def contains(pattern: Path, path: Path) -> bool:
    """True where `path` is the pattern's target or lies below it."""
    return len(path) >= len(pattern) and all(p in ("*", s) for p, s in zip(pattern, path, strict=False))


def reset(new: Properties, old: Properties, paths: list[str]) -> Properties:
    """`new` with the value at each path as it is in `old` (ignoreChanges); a path absent in both is no mistake."""
    result: Value = new
    for text in paths:
        result = _reset(result, old, parse(text))
    assert isinstance(result, dict)
    return result


def _reset(new: Value, old: Value, path: Path) -> Value:
    if not path:
        return new if old is _ABSENT else old
    if isinstance(new, Secret):
        inner = old.value if isinstance(old, Secret) else old
        return Secret(_reset(new.value, inner, path))
    if isinstance(old, Secret):
        old = old.value
    if isinstance(new, dict) and isinstance(old, dict):
        return _reset_key(new, old, path)
    if isinstance(new, list) and isinstance(old, list):
        wanted = range(min(len(new), len(old))) if path[0] == "*" else [path[0]]
        return [_reset(v, old[i], path[1:]) if i in wanted and i < len(old) else v for i, v in enumerate(new)]
    return new


def _reset_key(new: Properties, old: Properties, path: Path) -> Properties:
    result = dict(new)
    for key in sorted({*new, *old}) if path[0] == "*" else [str(path[0])]:
        if len(path) == 1:
            if key in old:
                result[key] = old[key]
            else:
                result.pop(key, None)
        elif key in result:
            result[key] = _reset(result[key], old.get(key, _ABSENT), path[1:])
    return result
