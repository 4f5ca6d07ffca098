"""Which sessions and users are out: the durable log, its feed into this process, and the set that every hit asks."""
