"""Version ranges as a program or Pulumi.yaml may demand: `>=3.5.0 !3.7.7 || <3.0.0`.

The syntax is that of blang/semver's ParseRange, which Pulumi's engine uses: terms side by side must all hold, `||` separates
alternatives, a term is an operator and a version in which `x` stands for any number.
"""

import re
from collections.abc import Callable
from typing import Final

from infra.engine.errors import UsageError

VERSION: Final = "3.272.0"  # of the Pulumi SDK whose protocol we speak; clients decide by it which features they use
_TERM: Final = re.compile(r"(==|=|!=|!|>=|<=|>|<)?\s*v?(\d+)(?:\.(\d+|[xX*])(?:\.(\d+|[xX*]))?)?(?:-[0-9A-Za-z.-]+)?(?=\s|$)")
_COMPARISONS: Final[dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]]] = {
    "": lambda a, b: a == b,
    "=": lambda a, b: a == b,
    "==": lambda a, b: a == b,
    "!": lambda a, b: a != b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


def satisfies(version: str, wanted: str) -> bool:
    """Whether the version (X.Y.Z) lies in the range; an empty range holds for all. Raises UsageError for a bad range."""
    have = tuple(int(part) for part in version.split(".")[:3])
    alternatives = [_parse(part, wanted) for part in wanted.split("||")] if wanted.strip() else [[]]
    return any(all(_COMPARISONS[operator](have[: len(bound)], bound) for operator, bound in terms) for terms in alternatives)


def _parse(text: str, whole: str) -> list[tuple[str, tuple[int, ...]]]:
    terms: list[tuple[str, tuple[int, ...]]] = []
    rest = text.strip()
    while rest:
        match = _TERM.match(rest)
        if match is None:
            raise UsageError(f"parsing CLI version range {whole!r}: cannot read {rest!r}; expected for example '>=3.5.0 <4.0.0'")
        operator, *numbers = match.groups()
        terms.append((operator or "", tuple(int(n) for n in numbers if n and n.isdigit())))
        rest = rest[match.end() :].strip()
    if not terms:
        raise UsageError(f"parsing CLI version range {whole!r}: an alternative is empty")
    return terms


def require(version: str, wanted: str) -> None:
    """Raises UsageError, in Pulumi's words, where the version does not satisfy the range."""
    if not satisfies(version, wanted):
        raise UsageError(f'Pulumi CLI version {version} does not satisfy the version range "{wanted}"')
