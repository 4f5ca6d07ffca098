# ruff: noqa: N803 -- arguments have the names that the schema gives them
"""Which log lines are asked for: up to so many before a moment, and up to so many after it. Pure.

As Railway's schema describes its arguments: `anchorDate` is the moment, `beforeDate` the oldest date to look at before it,
`afterDate` the latest after it, `beforeLimit` and `afterLimit` how many lines of each. Without an anchor every line is before it;
who names one, and something of after it only, wants none of before (so Railway's CLI follows requests).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infra.localcloud.railway_api import views
from infra.localcloud.railway_api.resolvers_deployment import checked_limit
from infra.localcloud.railway_api.resolvers_metrics import epoch_s


@dataclass(frozen=True, slots=True)
class LogWindow:
    """Moments in seconds since the epoch, infinite where nothing is said."""

    oldest_s: float
    anchor_s: float
    latest_s: float
    before: int
    after: int

    @classmethod
    def of(
        cls,
        anchorDate: str | None = None,
        beforeDate: str | None = None,
        beforeLimit: int | None = None,
        afterDate: str | None = None,
        afterLimit: int | None = None,
    ) -> LogWindow:
        """BadInput."""
        is_of_after = afterLimit is not None or afterDate is not None
        is_of_before = beforeLimit is not None or beforeDate is not None or anchorDate is None
        return cls(
            oldest_s=-float("inf") if beforeDate is None else epoch_s("beforeDate", beforeDate),
            anchor_s=float("inf") if anchorDate is None else epoch_s("anchorDate", anchorDate),
            latest_s=float("inf") if afterDate is None else epoch_s("afterDate", afterDate),
            before=checked_limit(beforeLimit) if is_of_before or not is_of_after else 0,
            after=checked_limit(afterLimit) if is_of_after else 0,
        )

    def cut(self, lines: Sequence[views.View]) -> list[views.View]:
        """Of lines in order of time: the newest before the anchor, the oldest after it."""
        timed = [(epoch_s("timestamp", line["timestamp"]), line) for line in lines]
        before = [line for at, line in timed if self.oldest_s <= at <= min(self.anchor_s, self.latest_s)]
        after = [line for at, line in timed if self.anchor_s < at <= self.latest_s]
        return before[len(before) - min(self.before, len(before)) :] + after[: self.after]

    def is_after(self, line: views.View) -> bool:
        """Whether a line that came later belongs to it too: whoever follows a log gets all of them."""
        return epoch_s("timestamp", line["timestamp"]) <= self.latest_s
