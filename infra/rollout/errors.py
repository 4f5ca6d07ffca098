"""The room's errors; the tree is drawn in the package's docstring."""

from __future__ import annotations

from collections.abc import Sequence


class PromotionRefused(Exception):
    """Refused before anything was touched. `next_command` is what the user can run, "" where there is none."""

    def __init__(self, message: str, next_command: str = "") -> None:
        super().__init__(message)
        self.next_command = next_command


class PromotionRunning(PromotionRefused):
    """Another promotion of the stack is running; the message says whose, since when and its process id."""


class Unfinished(PromotionRefused):
    """An earlier promotion was interrupted or is held: its regions may serve different releases."""


class Quarantined(PromotionRefused):
    """The release failed a gate of this stack and was not promoted since."""


class NothingToDo(PromotionRefused):
    """Every region serves the release already, or no promotion is unfinished."""


class JournalDamaged(Exception):
    """A record that no driver writes at this place; the message names file and line."""


class DeployFailed(Exception):
    """A deployment did not come up. `last_lines` are the replica's or the build's last log lines."""

    def __init__(self, message: str, last_lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.last_lines = tuple(last_lines)


class ReturnStalled(Exception):
    """A region could not be brought back although it was tried repeatedly. The journal stands; resuming tries again."""

    def __init__(self, region: str, message: str, next_command: str) -> None:
        super().__init__(f"{region}: could not be returned to its previous release: {message}")
        self.region = region
        self.next_command = next_command
