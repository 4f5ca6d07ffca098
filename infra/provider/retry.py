"""When to send again, and after how long. Pure: the dice are passed in."""

from __future__ import annotations

from dataclasses import dataclass

from infra.provider.errors import RemoteError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `attempts_max` tries; waits grow from `base_s` to `cap_s` and are spread over the whole span (full jitter).

    A wait the API asks for is always respected, with up to a quarter more so that clients do not return in step.
    """

    attempts_max: int = 6
    base_s: float = 0.4
    cap_s: float = 15.0

    def wait_s(self, attempt: int, error: RemoteError, dice: float) -> float | None:
        """Seconds to wait after try number `attempt` (from 1) failed; None: give up. `dice` is in [0, 1)."""
        if not error.is_transient or attempt >= self.attempts_max:
            return None
        if error.retry_after_s is not None:
            return error.retry_after_s * (1 + dice / 4)
        return dice * min(self.cap_s, self.base_s * float(1 << (attempt - 1)))
