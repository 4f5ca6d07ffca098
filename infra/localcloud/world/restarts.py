"""What happens when a replica ends unasked: pure decisions of the restart policy."""

from __future__ import annotations

from infra.localcloud.world.model import ReplicaStatus, Settings

BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 30.0
STEADY_S = 60.0  # a replica that ran this long has its restarts counted anew


def backoff_s(restarts: int) -> float:
    """0.5, 1, 2, 4 ... 30 s. No jitter: replicas of one laptop do not stampede anybody."""
    return float(min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(restarts, 16)))


def after_exit(settings: Settings, restarts: int, exit_code: int) -> float | ReplicaStatus:
    """Seconds until the next start, or the status in which the replica stays."""
    if settings.restart_policy_type == "NEVER" or (settings.restart_policy_type == "ON_FAILURE" and exit_code == 0):
        return ReplicaStatus.EXITED if exit_code == 0 else ReplicaStatus.CRASHED
    # Railway's ALWAYS has no retry limit; restartPolicyMaxRetries belongs to ON_FAILURE.
    if settings.restart_policy_type == "ON_FAILURE" and restarts >= settings.restart_policy_max_retries:
        return ReplicaStatus.CRASHED
    return backoff_s(restarts)
