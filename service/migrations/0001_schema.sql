-- migrate:up

CREATE SCHEMA IF NOT EXISTS cached_auth;

-- Who is out. Kept as long as any remembered token can live (TOKEN_LIFE_MAX_S in cache/entries.py, plus a minute of skew).
CREATE TABLE cached_auth.revocations (
    sequence bigserial PRIMARY KEY,
    -- The feed reads by transaction, not by sequence: numbers of a bigserial become visible out of order.
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    kind text NOT NULL CHECK (kind IN ('session', 'user')),
    subject text NOT NULL,
    except_session text,
    watermark_iat bigint NOT NULL DEFAULT floor(extract(epoch FROM clock_timestamp())),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL DEFAULT now() + interval '24 hours 1 minute'
);
CREATE INDEX revocations_transaction ON cached_auth.revocations (transaction);
CREATE INDEX revocations_expires_at ON cached_auth.revocations (expires_at);

CREATE FUNCTION cached_auth.announce_revocation() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    PERFORM pg_catalog.pg_notify('cached_auth_revocations', pg_catalog.json_build_object(
        'sequence', NEW.sequence, 'kind', NEW.kind, 'subject', NEW.subject, 'watermark_iat', NEW.watermark_iat,
        'expires_at', extract(epoch FROM NEW.expires_at), 'except_session', NEW.except_session)::text);
    RETURN NULL;
END $$;

CREATE TRIGGER announce_revocation AFTER INSERT ON cached_auth.revocations
    FOR EACH ROW EXECUTE FUNCTION cached_auth.announce_revocation();

CREATE TABLE cached_auth.profiles (
    id uuid PRIMARY KEY,
    email text,
    display_name text,
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE cached_auth.preferences (
    user_id uuid PRIMARY KEY REFERENCES cached_auth.profiles (id) ON DELETE CASCADE,
    locale text NOT NULL DEFAULT 'en',
    theme text NOT NULL DEFAULT 'system',
    mail_news boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Follow-up work of a log-in, written in the same statement as the profile. A row stays after it is done: it is what keeps
-- the same job from being made again at the next log-in.
CREATE TABLE cached_auth.outbox (
    id bigserial PRIMARY KEY,
    user_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('welcome_mail', 'default_preferences', 'storage_folders')),
    payload jsonb NOT NULL DEFAULT '{}',
    attempts integer NOT NULL DEFAULT 0,
    run_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    dead_at timestamptz,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, kind)
);
CREATE INDEX outbox_due ON cached_auth.outbox (run_at) WHERE done_at IS NULL AND dead_at IS NULL;

-- migrate:down

DROP SCHEMA cached_auth CASCADE;
