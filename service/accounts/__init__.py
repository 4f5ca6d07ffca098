"""What follows a log-in: the profile, and the jobs that a first log-in sets off (a transactional outbox)."""
