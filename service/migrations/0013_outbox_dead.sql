-- migrate:up transaction:false
-- How many jobs were given up is counted by every replica every few seconds; without this it reads the jobs of all users.
CREATE INDEX CONCURRENTLY IF NOT EXISTS outbox_dead ON cached_auth.outbox (id) WHERE done_at IS NULL AND dead_at IS NOT NULL;

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY IF EXISTS cached_auth.outbox_dead;
