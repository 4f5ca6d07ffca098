-- migrate:up

-- Two kinds that are about tokens and not about sessions: all that one key signed, and all that were issued up to a moment.
ALTER TABLE cached_auth.revocations DROP CONSTRAINT revocations_kind_check;
ALTER TABLE cached_auth.revocations ADD CONSTRAINT revocations_kind_check
    CHECK (kind IN ('session', 'user', 'key', 'everyone'));

-- `lives_s` lets a replica count a line's life on its own monotonic clock. `expires_at` stays for replicas of the release before
-- this one, which run on while the next ones start.
CREATE OR REPLACE FUNCTION cached_auth.announce_revocation() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    PERFORM pg_catalog.pg_notify('cached_auth_revocations', pg_catalog.json_build_object(
        'sequence', NEW.sequence, 'kind', NEW.kind, 'subject', NEW.subject, 'watermark_iat', NEW.watermark_iat,
        'lives_s', extract(epoch FROM NEW.expires_at - pg_catalog.clock_timestamp()),
        'expires_at', extract(epoch FROM NEW.expires_at), 'except_session', NEW.except_session)::text);
    RETURN NULL;
END $$;

-- migrate:down

DELETE FROM cached_auth.revocations WHERE kind IN ('key', 'everyone');
ALTER TABLE cached_auth.revocations DROP CONSTRAINT revocations_kind_check;
ALTER TABLE cached_auth.revocations ADD CONSTRAINT revocations_kind_check CHECK (kind IN ('session', 'user'));
