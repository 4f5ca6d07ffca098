"""Asking before something that cannot be undone, or that touches a cloud that is not this machine."""

from __future__ import annotations

import sys

import click

from infra.cli.errors import UsageError
from infra.cli.screen import Screen


def confirm(screen: Screen, question: str, is_sure: bool, repeat: str) -> None:
    """Returns when the answer is yes. UsageError where nobody can be asked, or the answer is no."""
    if is_sure:
        return
    if screen.is_json or not sys.stdin.isatty():
        raise UsageError(f"{question} needs an answer and there is no terminal", repeat)
    if not click.confirm(question, err=True):
        raise UsageError("nothing was changed", repeat)
