-- migrate:up

-- Supabase Auth ends sessions in many places besides /logout: administrators, password changes, MFA, reuse of a refresh
-- token, bans. These triggers write the revocation in Auth's own transaction. They must never make Auth's statement fail,
-- so every error becomes a warning.

CREATE FUNCTION cached_auth.log_ended_sessions() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    INSERT INTO cached_auth.revocations (kind, subject) SELECT 'session', ended.id::text FROM ended;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'cached_auth: ended sessions not logged: %', SQLERRM;
    RETURN NULL;
END $$;

CREATE FUNCTION cached_auth.log_ended_user() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    INSERT INTO cached_auth.revocations (kind, subject) VALUES ('user', OLD.id::text);
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'cached_auth: ended user not logged: %', SQLERRM;
    RETURN NULL;
END $$;

-- Puts the triggers where Auth's tables are, as far as we are allowed to; says what it watches. Run after every migration,
-- because Auth's tables may come later than ours.
CREATE FUNCTION cached_auth.watch_auth() RETURNS text
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    watched text[] := '{}';
BEGIN
    BEGIN
        IF to_regclass('auth.sessions') IS NOT NULL THEN
            CREATE OR REPLACE TRIGGER cached_auth_sessions_ended AFTER DELETE ON auth.sessions
                REFERENCING OLD TABLE AS ended FOR EACH STATEMENT EXECUTE FUNCTION cached_auth.log_ended_sessions();
            watched := watched || 'auth.sessions'::text;
        END IF;
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE NOTICE 'cached_auth: no right to watch auth.sessions: %', SQLERRM;
    END;
    BEGIN
        IF to_regclass('auth.users') IS NOT NULL THEN
            CREATE OR REPLACE TRIGGER cached_auth_user_deleted AFTER DELETE ON auth.users
                FOR EACH ROW EXECUTE FUNCTION cached_auth.log_ended_user();
            watched := watched || 'auth.users'::text;
            IF EXISTS (SELECT FROM pg_catalog.pg_attribute
                        WHERE attrelid = 'auth.users'::regclass AND attname = 'banned_until' AND NOT attisdropped) THEN
                CREATE OR REPLACE TRIGGER cached_auth_user_banned AFTER UPDATE OF banned_until ON auth.users
                    FOR EACH ROW WHEN (NEW.banned_until > now() AND NEW.banned_until IS DISTINCT FROM OLD.banned_until)
                    EXECUTE FUNCTION cached_auth.log_ended_user();
                watched := watched || 'auth.users.banned_until'::text;
            END IF;
        END IF;
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE NOTICE 'cached_auth: no right to watch auth.users: %', SQLERRM;
    END;
    RETURN coalesce(nullif(array_to_string(watched, ', '), ''), 'nothing');
END $$;

-- An administrator's revocation: ends the sessions at Auth, so no refresh brings them back, and logs it. Without the right
-- to end them the watermark is set past the grey zone (WATERMARK_GREY_S in revocation/records.py), since asking Auth about
-- a young token would find its session alive.
CREATE FUNCTION cached_auth.revoke(what text, whom text) RETURNS SETOF cached_auth.revocations
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    is_ended boolean := false;
    line cached_auth.revocations;
BEGIN
    BEGIN
        IF to_regclass('auth.sessions') IS NOT NULL THEN
            IF what = 'session' THEN
                DELETE FROM auth.sessions WHERE id = whom::uuid;
            ELSE
                DELETE FROM auth.sessions WHERE user_id = whom::uuid;
            END IF;
            is_ended := true;
        END IF;
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE NOTICE 'cached_auth: no right to end sessions: %', SQLERRM;
    END;
    INSERT INTO cached_auth.revocations (kind, subject, watermark_iat)
        VALUES (what, whom, floor(extract(epoch FROM clock_timestamp())) + CASE WHEN is_ended THEN 0 ELSE 2 END)
        RETURNING * INTO line;
    RETURN NEXT line;
END $$;

-- migrate:down

DROP FUNCTION cached_auth.revoke, cached_auth.watch_auth;
DROP FUNCTION cached_auth.log_ended_sessions, cached_auth.log_ended_user CASCADE;
