-- migrate:up transaction:false
-- One statement per file: dbmate sends a file as one message, and CONCURRENTLY cannot share a message.
CREATE INDEX CONCURRENTLY IF NOT EXISTS profiles_email ON cached_auth.profiles (lower(email)) WHERE email IS NOT NULL AND is_active;

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY IF EXISTS cached_auth.profiles_email;
