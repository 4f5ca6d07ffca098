-- migrate:up

-- A change of what somebody may do is told on commit, over the connection that brings revocations: replicas of the service then ask
-- the primary about this user until they know how far a standby must have come. The payload is the user's id, or nothing where a
-- change concerns many: a role's permissions, or more users in one statement than are worth a notice each.
CREATE FUNCTION cached_auth.announce_accounts(users uuid[]) RETURNS void
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF cardinality(users) > 64 THEN
        PERFORM pg_catalog.pg_notify('cached_auth_accounts', '');
    ELSE
        PERFORM pg_catalog.pg_notify('cached_auth_accounts', whom::text) FROM unnest(users) AS whom;
    END IF;
END $$;

CREATE FUNCTION cached_auth.announce_user_roles() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    PERFORM cached_auth.announce_accounts(ARRAY(SELECT DISTINCT user_id FROM changed LIMIT 65));
    RETURN NULL;
END $$;

CREATE FUNCTION cached_auth.announce_profiles() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    PERFORM cached_auth.announce_accounts(ARRAY(SELECT DISTINCT id FROM changed LIMIT 65));
    RETURN NULL;
END $$;

CREATE FUNCTION cached_auth.announce_permissions() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    PERFORM pg_catalog.pg_notify('cached_auth_accounts', '');
    RETURN NULL;
END $$;

-- One trigger for each event: only such a one sees the rows of its statement. A moved row is told of under both names.
CREATE TRIGGER announce_insert AFTER INSERT ON cached_auth.user_roles
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION cached_auth.announce_user_roles();
CREATE TRIGGER announce_delete AFTER DELETE ON cached_auth.user_roles
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION cached_auth.announce_user_roles();
CREATE TRIGGER announce_update_old AFTER UPDATE ON cached_auth.user_roles
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION cached_auth.announce_user_roles();
CREATE TRIGGER announce_update_new AFTER UPDATE ON cached_auth.user_roles
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION cached_auth.announce_user_roles();
CREATE TRIGGER announce_truncate AFTER TRUNCATE ON cached_auth.user_roles
    FOR EACH STATEMENT EXECUTE FUNCTION cached_auth.announce_permissions();

-- No role without an active profile, and no need to tell of a new one: the primary is asked for whomever a standby does not know.
CREATE TRIGGER announce_delete AFTER DELETE ON cached_auth.profiles
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION cached_auth.announce_profiles();
CREATE TRIGGER announce_update AFTER UPDATE ON cached_auth.profiles
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION cached_auth.announce_profiles();

CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON cached_auth.role_permissions
    FOR EACH STATEMENT EXECUTE FUNCTION cached_auth.announce_permissions();

-- migrate:down

DROP FUNCTION cached_auth.announce_user_roles, cached_auth.announce_profiles, cached_auth.announce_permissions CASCADE;
DROP FUNCTION cached_auth.announce_accounts;
