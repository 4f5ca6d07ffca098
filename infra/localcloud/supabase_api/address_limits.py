"""How often one address may ask, where the project has set it: a bucket for each kind of request (GoTrue's apilimiter).

GoTrue's buckets hold 30 requests and are filled up by what was set within five minutes; that of anonymous users holds what
was set and is filled up within an hour. Off until it is set: in a local cloud everybody comes from one address.
"""

from __future__ import annotations

from datetime import UTC, datetime

from infra.localcloud.supabase_api.auth_config import AuthConfig
from infra.localcloud.supabase_api.errors import ApiError
from infra.localcloud.world_clock import Ageing

BURST = 30
FIVE_MINUTES_S, HOUR_S = 300.0, 3600.0
BUCKETS_MAX = 10_000
EPOCH = datetime.fromtimestamp(0, UTC)


class AddressLimits:
    """By the machine's clock and however far the cloud's own was moved."""

    def __init__(self, config: AuthConfig, ageing: Ageing) -> None:
        self._ageing = ageing
        self._limits = {  # kind -> (requests that a bucket holds, requests a second)
            kind: (burst or limit, limit / period_s)
            for kind, limit, burst, period_s in (
                *((kind, config.rate_limit_otp, BURST, FIVE_MINUTES_S) for kind in ("otp", "magiclink", "recover", "resend")),
                *((kind, config.rate_limit_otp, BURST, FIVE_MINUTES_S) for kind in ("signup", "user")),
                ("token", config.rate_limit_token_refresh, BURST, FIVE_MINUTES_S),
                ("verify", config.rate_limit_verify, BURST, FIVE_MINUTES_S),
                ("anonymous", config.rate_limit_anonymous_users, None, HOUR_S),
            )
            if limit is not None
        }
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}  # (kind, address) -> requests left, when

    def check(self, kind: str, address: object) -> None:
        """Raises ApiError over_request_rate_limit; counts the request."""
        if kind not in self._limits:
            return
        held, per_second = self._limits[kind]
        now = self._ageing.now_for(EPOCH).timestamp()
        key = (kind, str(address))
        left, since = self._buckets.pop(key, (float(held), now))
        left = min(float(held), left + (now - since) * per_second)
        while len(self._buckets) >= BUCKETS_MAX:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[key] = (max(left - 1, 0.0) if left >= 1 else left, now)
        if left < 1:
            raise ApiError(429, "over_request_rate_limit", "Request rate limit reached")
