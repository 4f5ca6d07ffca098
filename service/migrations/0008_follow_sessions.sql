-- migrate:up

-- What follows a log-in, in the very transaction that begins its session at Auth: by whatever way somebody logged in, and whatever
-- process is killed next, either both are there or neither. Must never make Auth's statement fail, so errors become warnings;
-- where the role may not create this trigger, the service's own statement after the log-in remains (accounts/follow_up.py).
CREATE FUNCTION cached_auth.follow_begun_sessions() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    made bigint;
BEGIN
    INSERT INTO cached_auth.profiles (id, email, display_name)
        SELECT DISTINCT u.id, nullif(u.email, ''), left(u.raw_user_meta_data ->> 'display_name', 200)
          FROM begun JOIN auth.users AS u ON u.id = begun.user_id
            ON CONFLICT (id) DO NOTHING;
    WITH jobs AS (
        INSERT INTO cached_auth.outbox (user_id, kind, payload)
            SELECT DISTINCT u.id, kinds.kind, jsonb_build_object(
                       'email', nullif(u.email, ''), 'display_name', left(u.raw_user_meta_data ->> 'display_name', 200))
              FROM begun JOIN auth.users AS u ON u.id = begun.user_id
             CROSS JOIN unnest(ARRAY['welcome_mail', 'default_preferences', 'storage_folders']) AS kinds (kind)
                ON CONFLICT (user_id, kind) DO NOTHING RETURNING id
    ) SELECT count(*) INTO made FROM jobs;
    IF made > 0 THEN
        PERFORM pg_catalog.pg_notify('cached_auth_outbox', '');
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'cached_auth: log-in not followed: %', SQLERRM;
    RETURN NULL;
END $$;

-- watch_auth() as before, and this trigger.
ALTER FUNCTION cached_auth.watch_auth() RENAME TO watch_endings;

CREATE FUNCTION cached_auth.watch_auth() RETURNS text
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    watched text[] := '{}';
BEGIN
    IF to_regclass('auth.sessions') IS NOT NULL AND to_regclass('auth.users') IS NOT NULL THEN
        CREATE OR REPLACE TRIGGER cached_auth_sessions_begun AFTER INSERT ON auth.sessions
            REFERENCING NEW TABLE AS begun FOR EACH STATEMENT EXECUTE FUNCTION cached_auth.follow_begun_sessions();
        watched := '{log-ins}';
    END IF;
    RETURN array_to_string(array_remove(ARRAY[cached_auth.watch_endings(), array_to_string(watched, '')], ''), ', ');
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'cached_auth: no right to follow log-ins: %', SQLERRM;
    RETURN cached_auth.watch_endings();
END $$;

-- migrate:down

DROP FUNCTION cached_auth.watch_auth;
ALTER FUNCTION cached_auth.watch_endings() RENAME TO watch_auth;
DROP FUNCTION cached_auth.follow_begun_sessions CASCADE;
