"""Railway's deployment statuses, sorted by what they mean for somebody who waits. Source: schema, enum DeploymentStatus."""

READY = frozenset({"SUCCESS", "SLEEPING"})
UNDER_WAY = frozenset({"QUEUED", "WAITING", "NEEDS_APPROVAL", "INITIALIZING", "BUILDING", "DEPLOYING"})
BROKEN = frozenset({"FAILED", "CRASHED"})
AWAY = frozenset({"REMOVING", "REMOVED", "SKIPPED"})
