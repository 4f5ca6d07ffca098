-- migrate:up transaction:false
-- Answers /me's look-up from the index alone.
CREATE INDEX CONCURRENTLY IF NOT EXISTS profiles_auth_lookup ON cached_auth.profiles (id, is_active) INCLUDE (email, display_name, created_at);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY IF EXISTS cached_auth.profiles_auth_lookup;
