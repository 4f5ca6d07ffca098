-- migrate:up
ANALYZE cached_auth.profiles;
ANALYZE cached_auth.revocations;
ANALYZE cached_auth.outbox;

-- migrate:down
