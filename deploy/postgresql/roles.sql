-- Who may do what in PostgreSQL. Run by the owner of the tables after every migration:
--
--   psql --set ON_ERROR_STOP=1 --file deploy/postgresql/roles.sql peerage
--
-- Five parties. The owner runs migrations and nothing else. peerage_app is the portal,
-- peerage_sealer the sealer, peerage_auditor somebody who looks, peerage_eraser whoever
-- runs manage.py erase_person or prune_log: what the portal may do, and to take names
-- and pruned leaves out of the log. None can log in; give each a login of its own:
-- CREATE ROLE portal LOGIN PASSWORD '…' IN ROLE peerage_app.
--
-- This guards against accidents and against a stolen web process. Against whoever owns
-- the tables stand the tree, the sealer's own file, and the witnesses.

DO $$
DECLARE
    who text;
    item record;
    appended text[] := ARRAY['audit_auditevent', 'audit_flowevent'];
    sealed text[] := ARRAY[
        'audit_sealedleaf', 'audit_sealedtile', 'audit_sealedcheckpoint'
    ];
BEGIN
    FOREACH who IN ARRAY ARRAY[
        'peerage_app', 'peerage_sealer', 'peerage_auditor', 'peerage_eraser'
    ] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = who) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', who);
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', who);
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', who);
        EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM %I', who);
    END LOOP;

    -- What is not the log belongs to the portal.
    FOR item IN SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' LOOP
        CONTINUE WHEN item.name = ANY (appended || sealed || ARRAY[
            'audit_outbox', 'audit_sealerstate', 'audit_sealerrefusal',
            'audit_cosignature', 'audit_identitysalt', 'audit_erasedmention',
            'audit_prune', 'django_migrations'
        ]);
        EXECUTE format(
            'GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO peerage_app', item.name
        );
    END LOOP;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO peerage_app;

    -- The log is appended to, in every column but the number: nobody chooses a place.
    FOR item IN
        SELECT table_name AS name,
               string_agg(quote_ident(column_name), ', ') AS columns
        FROM information_schema.columns
        WHERE table_schema = 'public' AND column_name <> 'id'
          AND table_name = ANY (appended || sealed || ARRAY['audit_cosignature'])
        GROUP BY table_name
    LOOP
        EXECUTE format(
            'GRANT SELECT ON %I TO peerage_app, peerage_sealer, peerage_auditor',
            item.name
        );
        EXECUTE format(
            'GRANT INSERT (%s) ON %I TO %I', item.columns, item.name,
            CASE WHEN item.name = ANY (sealed) THEN 'peerage_sealer'
            ELSE 'peerage_app' END
        );
    END LOOP;
    GRANT SELECT ON django_migrations TO peerage_app, peerage_sealer;
    GRANT SELECT, INSERT ON audit_identitysalt TO peerage_app;
    GRANT SELECT ON audit_outbox, audit_sealerstate, audit_sealerrefusal
        TO peerage_app, peerage_sealer, peerage_auditor;
    -- Signatures of witnesses that a later one has made worthless go.
    GRANT SELECT, INSERT, UPDATE, DELETE ON audit_cosignature TO peerage_app;
    -- Forgetting and pruning are not the portal's: a web process that was taken over must
    -- not be able to make anything deniable. What may go and when, the triggers say.
    GRANT SELECT ON audit_erasedmention, audit_prune TO peerage_app, peerage_auditor;
    GRANT peerage_app TO peerage_eraser;
    GRANT INSERT ON audit_erasedmention TO peerage_eraser;
    GRANT UPDATE (salt, forgotten_at) ON audit_identitysalt TO peerage_eraser;
    GRANT UPDATE (
        actor_id, actor_label, actor_address, person_label, device_label, target_id,
        target_label, reason, details
    ) ON audit_auditevent TO peerage_eraser;
    GRANT UPDATE (attribution) ON audit_flowevent TO peerage_eraser;
    GRANT INSERT, UPDATE ON audit_prune TO peerage_eraser;
    GRANT DELETE ON audit_auditevent, audit_flowevent, audit_sealedleaf
        TO peerage_eraser;
    GRANT DELETE ON audit_outbox TO peerage_sealer;
    GRANT INSERT, UPDATE ON audit_sealerstate TO peerage_sealer;
    GRANT INSERT, UPDATE, DELETE ON audit_sealerrefusal TO peerage_sealer;

    -- The outbox is written by the triggers of the log, in their owner's name: the
    -- portal can neither put something into it nor leave something out.
    FOREACH who IN ARRAY appended LOOP
        EXECUTE format(
            'ALTER FUNCTION %I() SECURITY DEFINER SET search_path = public, pg_temp',
            who || '_to_outbox'
        );
    END LOOP;
END
$$;
