-- migrate:up transaction:false
-- Who has a role, and what a role's end takes with it.
CREATE INDEX CONCURRENTLY IF NOT EXISTS user_roles_role ON cached_auth.user_roles (role);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY IF EXISTS cached_auth.user_roles_role;
