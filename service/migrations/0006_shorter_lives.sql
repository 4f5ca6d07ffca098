-- migrate:up

-- How long a line is needed. A session that has ended at Auth can only be believed by a memory that confirmed it before it
-- ended, and none does for longer than CACHE_TTL_S (an hour at most); Auth itself refuses whoever asks later. So such a line
-- lives ENDED_LIFE_S (cache/entries.py: the hour and five minutes for clocks that differ), not a day: at a day, two log-outs a
-- second would fill the set that every replica holds. Log-outs and the triggers on Auth's tables take this default.
ALTER TABLE cached_auth.revocations ALTER COLUMN expires_at SET DEFAULT clock_timestamp() + interval '65 minutes';

-- A session that we had no right to end lives on at Auth: only this line stands against its tokens, for as long as one can be
-- remembered (TOKEN_LIFE_MAX_S).
CREATE OR REPLACE FUNCTION cached_auth.revoke(what text, whom text) RETURNS SETOF cached_auth.revocations
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
    INSERT INTO cached_auth.revocations (kind, subject, watermark_iat, expires_at)
        VALUES (what, whom, floor(extract(epoch FROM clock_timestamp())) + CASE WHEN is_ended THEN 0 ELSE 2 END,
                clock_timestamp() + CASE WHEN is_ended THEN interval '65 minutes' ELSE interval '24 hours 1 minute' END)
        RETURNING * INTO line;
    RETURN NEXT line;
END $$;

-- migrate:down

ALTER TABLE cached_auth.revocations ALTER COLUMN expires_at SET DEFAULT now() + interval '24 hours 1 minute';
