-- migrate:up

-- What a user may do. Names are compared by bytes, so that the answers are sorted alike whatever the server's locale.
CREATE TABLE cached_auth.roles (
    name text COLLATE "C" PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_.:-]{0,63}$'),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE cached_auth.role_permissions (
    role text COLLATE "C" NOT NULL REFERENCES cached_auth.roles (name) ON DELETE CASCADE,
    permission text COLLATE "C" NOT NULL CHECK (permission ~ '^[a-z][a-z0-9_.:-]{0,63}$'),
    PRIMARY KEY (role, permission)
);

-- No foreign key to profiles: somebody may be given a role before the first log-in.
CREATE TABLE cached_auth.user_roles (
    user_id uuid NOT NULL,
    role text COLLATE "C" NOT NULL REFERENCES cached_auth.roles (name) ON DELETE CASCADE,
    granted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, role)
);

-- 16 roles for a user and 64 permissions for a role: so /me's answer is bounded, whoever wrote the rows. The lock makes those
-- who add to the same list wait for each other, and the count that follows it sees what they wrote. 256 locks stand for all
-- lists: with one for each, granting a role to many users at once would use up the server's memory for locks.
CREATE FUNCTION cached_auth.bound_user_roles() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('cached_auth.user_roles'), pg_catalog.hashtext(NEW.user_id::text) & 255);
    IF (SELECT count(*) FROM cached_auth.user_roles WHERE user_id = NEW.user_id AND role <> NEW.role) >= 16 THEN
        RAISE EXCEPTION 'expected at most 16 roles for a user' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER bound_user_roles BEFORE INSERT OR UPDATE ON cached_auth.user_roles
    FOR EACH ROW EXECUTE FUNCTION cached_auth.bound_user_roles();

CREATE FUNCTION cached_auth.bound_role_permissions() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('cached_auth.role_permissions'), pg_catalog.hashtext(NEW.role) & 255);
    IF (SELECT count(*) FROM cached_auth.role_permissions WHERE role = NEW.role AND permission <> NEW.permission) >= 64 THEN
        RAISE EXCEPTION 'expected at most 64 permissions for a role' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER bound_role_permissions BEFORE INSERT OR UPDATE ON cached_auth.role_permissions
    FOR EACH ROW EXECUTE FUNCTION cached_auth.bound_role_permissions();

-- What /me shows of a user beside the issuer's word. Where the profile is not active there is no row, hence no role.
CREATE VIEW cached_auth.accounts AS
SELECT p.id, p.email, p.display_name, p.created_at,
       ARRAY(SELECT u.role FROM cached_auth.user_roles AS u WHERE u.user_id = p.id ORDER BY u.role) AS roles,
       ARRAY(SELECT DISTINCT r.permission
               FROM cached_auth.user_roles AS u JOIN cached_auth.role_permissions AS r ON r.role = u.role
              WHERE u.user_id = p.id ORDER BY r.permission) AS permissions
  FROM cached_auth.profiles AS p WHERE p.is_active;

-- The same at a standby, and nothing where it has not yet replayed the log up to `position` (bytes). Volatile, because then the
-- query sees what was committed when *it* began, after the comparison: in one statement with a condition on
-- pg_last_wal_replay_lsn() the snapshot would be taken first, and might miss what the comparison then finds replayed.
CREATE FUNCTION cached_auth.account_at(whom uuid, "position" bigint) RETURNS SETOF cached_auth.accounts
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
BEGIN
    IF pg_catalog.pg_last_wal_replay_lsn() OPERATOR(pg_catalog.-) '0/0'::pg_catalog.pg_lsn >= "position" THEN
        RETURN QUERY SELECT * FROM cached_auth.accounts AS a WHERE a.id = whom;
    END IF;
END $$;

-- migrate:down

DROP FUNCTION cached_auth.account_at;
DROP VIEW cached_auth.accounts;
DROP TABLE cached_auth.user_roles, cached_auth.role_permissions, cached_auth.roles;
DROP FUNCTION cached_auth.bound_user_roles, cached_auth.bound_role_permissions;
