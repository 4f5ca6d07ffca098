"""Start commands are split as a shell would, and never given to one."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.localcloud.world.command_line import CommandLineError, split_command

ENVIRONMENT = {"PASSWORD": "a b'$\"c", "EMPTY": "", "PORT": "8080"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("python -m service", ("python", "-m", "service")),
        ("  a\t b\n", ("a", "b")),
        ('valkey-server --save "" --requirepass $PASSWORD', ("valkey-server", "--save", "", "--requirepass", "a b'$\"c")),
        ("a '$PORT' \"$PORT\" x${PORT}y", ("a", "$PORT", "8080", "x8080y")),
        ("a ${MISSING:-9} ${EMPTY:-8} ${PORT:-7}", ("a", "9", "8", "8080")),
        ("a $EMPTY b", ("a", "", "b")),
        (r"a\ b 'c d'e \$PORT \"", ("a b", "c de", "$PORT", '"')),
        ('"a\\b" "a\\"b"', ("a\\b", 'a"b')),
        ("echo 'a|b' \"c&d\"", ("echo", "a|b", "c&d")),
        ("cost 5$ $5", ("cost", "5$", "$5")),
        ("a '' ''", ("a", "", "")),
    ],
)
def test_command_is_split_into_words(text: str, words: tuple[str, ...]):
    assert split_command(text, ENVIRONMENT) == words


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("a && b", "shell"),
        ("a | b", "shell"),
        ("a > b", "shell"),
        ("a; b", "shell"),
        ("a `b`", "shell"),
        ("a $(b)", "shell"),
        ("a 'b", "not closed"),
        ('a "b', "not closed"),
        ("a \\", "backslash"),
        ("a $MISSING", r"\$MISSING is not set"),
        ("a ${MISSING}", r"\$MISSING is not set"),
    ],
)
def test_command_that_needs_a_shell_or_a_variable_is_refused(text: str, reason: str):
    """Half a command is worse than none: a server without its password would listen."""
    with pytest.raises(CommandLineError, match=reason):
        split_command(text, ENVIRONMENT)


@given(st.lists(st.text(), min_size=1))
def test_quoting_words_and_splitting_them_gives_the_words_back(words: list[str]):
    assert split_command(shlex.join(words), {}) == tuple(words)


@given(st.text(alphabet="ab '\"\\x\t", max_size=30))
def test_without_expansion_it_agrees_with_shlex(text: str):
    try:
        expected = shlex.split(text)
    except ValueError:
        expected = []
    if expected:
        assert list(split_command(text, {})) == expected
    else:
        with pytest.raises(CommandLineError):
            split_command(text, {})


@given(st.text())
def test_an_expanded_value_stays_one_word(value: str):
    """Whatever is in a password, it can neither add an argument nor start anything."""
    assert split_command("run $VALUE", {"VALUE": value}) == ("run", value)
