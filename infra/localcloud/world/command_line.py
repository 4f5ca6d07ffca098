"""A start command, split into words as a POSIX shell would, but without a shell.

Known: quotes, backslashes, `$NAME`, `${NAME}` and `${NAME:-default}`. An expanded value stays one word, whatever is in it.
Shell operators are refused rather than handed to the program as words: `a && b` would otherwise start `a` with odd
arguments. An unset variable is refused too; a password option without its password must not start a server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

EXPANSION = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}$]*))?\})")
OPERATORS = "|&;<>()`"


class CommandLineError(ValueError):
    """The command cannot be run without a shell, or names a variable that is not set."""


def split_command(text: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The words of `text`. CommandLineError for operators, open quotes, unset variables, and for an empty command."""
    words: list[str] = []
    word: list[str] | None = None  # None between words, so that '' and "" still make an (empty) word
    quote = ""
    position = 0
    while position < len(text):
        character = text[position]
        if character == "$" and quote != "'":
            match = EXPANSION.match(text, position)
            if match is None:
                if text.startswith("$(", position):
                    raise CommandLineError("command substitution needs a shell, and the local cloud starts commands without one")
                word = [*(word or []), character]
                position += 1
                continue
            word = [*(word or []), _expanded(match, environment)]
            position = match.end()
            continue
        position += 1
        if quote == "'":
            if character == "'":
                quote = ""
            else:
                assert word is not None
                word.append(character)
        elif character == "\\":
            if position == len(text):
                raise CommandLineError("a backslash at the end of the command escapes nothing")
            following = text[position]
            position += 1
            if quote and following not in '$`"\\\n':
                word = [*(word or []), character, following]
            elif following != "\n":
                word = [*(word or []), following]
        elif character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote, word = character, word or []
        elif not quote and character.isspace():
            if word is not None:
                words.append("".join(word))
            word = None
        elif not quote and character in OPERATORS:
            raise CommandLineError(f"{character!r} needs a shell, but commands are started without one: quote it or drop it")
        else:
            word = [*(word or []), character]
    if quote:
        raise CommandLineError(f"the quote {quote} is not closed")
    if word is not None:
        words.append("".join(word))
    if not words:
        raise CommandLineError("the command is empty")
    return tuple(words)


def _expanded(match: re.Match[str], environment: Mapping[str, str]) -> str:
    name = match.group(1) or match.group(2)
    default = match.group(3)
    value = environment.get(name)
    if value is None or (value == "" and default is not None):
        if default is None:
            raise CommandLineError(f"${name} is not set; set the variable on the service, or give a default: ${{{name}:-value}}")
        return default
    return value
