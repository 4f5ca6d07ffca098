-- migrate:up

-- As in 0008, and cheaper: nearly every log-in is of somebody who has everything already, for whom nothing is written now and no
-- number of the outbox used up. And it waits for nobody for long: who makes the same rows in another transaction (a user's first
-- two log-ins at once) may be waiting for a row that Auth holds in this one, and the server would end one of the two after a second,
-- perhaps Auth's. Before that (deadlock_timeout) this gives up; the other one's rows are there then, or else the next log-in's.
CREATE OR REPLACE FUNCTION cached_auth.follow_begun_sessions() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' SET lock_timeout = '100ms' AS $$
DECLARE
    kinds CONSTANT text[] := ARRAY['default_preferences', 'storage_folders', 'welcome_mail'];
    made bigint;
BEGIN
    PERFORM FROM begun
      WHERE NOT EXISTS (SELECT FROM cached_auth.profiles AS p WHERE p.id = begun.user_id)
         OR (SELECT count(*) FROM cached_auth.outbox AS o WHERE o.user_id = begun.user_id AND o.kind = ANY (kinds)) < cardinality(kinds);
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- In one order everywhere (accounts/follow_up.py too): profiles, then jobs, by user and name.
    INSERT INTO cached_auth.profiles (id, email, display_name)
        SELECT DISTINCT u.id, nullif(u.email, ''), left(u.raw_user_meta_data ->> 'display_name', 200)
          FROM begun JOIN auth.users AS u ON u.id = begun.user_id
         ORDER BY u.id
            ON CONFLICT (id) DO NOTHING;
    WITH jobs AS (
        INSERT INTO cached_auth.outbox (user_id, kind, payload)
            SELECT DISTINCT u.id, wanted.kind, jsonb_build_object(
                       'email', nullif(u.email, ''), 'display_name', left(u.raw_user_meta_data ->> 'display_name', 200))
              FROM begun JOIN auth.users AS u ON u.id = begun.user_id
             CROSS JOIN unnest(kinds) AS wanted (kind)
             ORDER BY u.id, wanted.kind
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

-- CREATE TRIGGER locks Auth's table against every log-in, and waits for transactions under way with all others behind it. So it is
-- done where the trigger is missing, not at each deploy of each region.
CREATE FUNCTION cached_auth.is_watching(entity regclass, named text, calls regprocedure) RETURNS boolean
LANGUAGE sql STABLE SET search_path = '' AS $$
    SELECT EXISTS (SELECT FROM pg_catalog.pg_trigger
                    WHERE tgrelid = entity AND tgname = named AND tgfoid = calls AND tgenabled IN ('O', 'A'))
$$;

CREATE OR REPLACE FUNCTION cached_auth.watch_endings() RETURNS text
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    watched text[] := '{}';
BEGIN
    BEGIN
        IF to_regclass('auth.sessions') IS NOT NULL THEN
            IF NOT cached_auth.is_watching('auth.sessions', 'cached_auth_sessions_ended', 'cached_auth.log_ended_sessions()') THEN
                CREATE OR REPLACE TRIGGER cached_auth_sessions_ended AFTER DELETE ON auth.sessions
                    REFERENCING OLD TABLE AS ended FOR EACH STATEMENT EXECUTE FUNCTION cached_auth.log_ended_sessions();
            END IF;
            watched := watched || 'auth.sessions'::text;
        END IF;
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE NOTICE 'cached_auth: no right to watch auth.sessions: %', SQLERRM;
    END;
    BEGIN
        IF to_regclass('auth.users') IS NOT NULL THEN
            IF NOT cached_auth.is_watching('auth.users', 'cached_auth_user_deleted', 'cached_auth.log_ended_user()') THEN
                CREATE OR REPLACE TRIGGER cached_auth_user_deleted AFTER DELETE ON auth.users
                    FOR EACH ROW EXECUTE FUNCTION cached_auth.log_ended_user();
            END IF;
            watched := watched || 'auth.users'::text;
            IF EXISTS (SELECT FROM pg_catalog.pg_attribute
                        WHERE attrelid = 'auth.users'::regclass AND attname = 'banned_until' AND NOT attisdropped) THEN
                IF NOT cached_auth.is_watching('auth.users', 'cached_auth_user_banned', 'cached_auth.log_ended_user()') THEN
                    CREATE OR REPLACE TRIGGER cached_auth_user_banned AFTER UPDATE OF banned_until ON auth.users
                        FOR EACH ROW WHEN (NEW.banned_until > now() AND NEW.banned_until IS DISTINCT FROM OLD.banned_until)
                        EXECUTE FUNCTION cached_auth.log_ended_user();
                END IF;
                watched := watched || 'auth.users.banned_until'::text;
            END IF;
        END IF;
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE NOTICE 'cached_auth: no right to watch auth.users: %', SQLERRM;
    END;
    RETURN coalesce(nullif(array_to_string(watched, ', '), ''), 'nothing');
END $$;

CREATE OR REPLACE FUNCTION cached_auth.watch_auth() RETURNS text
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    watched text := cached_auth.watch_endings();
BEGIN
    IF to_regclass('auth.sessions') IS NULL OR to_regclass('auth.users') IS NULL THEN
        RETURN watched;
    END IF;
    IF NOT cached_auth.is_watching('auth.sessions', 'cached_auth_sessions_begun', 'cached_auth.follow_begun_sessions()') THEN
        CREATE OR REPLACE TRIGGER cached_auth_sessions_begun AFTER INSERT ON auth.sessions
            REFERENCING NEW TABLE AS begun FOR EACH STATEMENT EXECUTE FUNCTION cached_auth.follow_begun_sessions();
    END IF;
    RETURN watched || ', log-ins';
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'cached_auth: no right to follow log-ins: %', SQLERRM;
    RETURN watched;
END $$;

-- migrate:down

-- What 0008 had in their place did the same, with a lock on Auth's tables at each migration.
