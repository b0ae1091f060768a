"""What PostgreSQL is asked when the log is searched by words or by prefix.

`audit_words` cuts a text as `audit.search.words.words_of` does, so that both databases find
the same; the separators are that module's, at the time of this migration. An index is
built over it: whoever changes it must build that index again. It takes 27 µs, which
the planner must know: it decides whether to read rows in order until fifty fit, or to
collect those that the index finds. SQL would be inlined and its cost forgotten.
"""

from django.db import migrations

SEPARATORS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~→“”‘’„–—…·\t\n"


def add_functions(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    separators = SEPARATORS.replace("'", "''")
    schema_editor.execute(
        f"""
        CREATE FUNCTION audit_words(text) RETURNS tsvector
        LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 2500 AS $body$
        BEGIN
            RETURN array_to_tsvector(array_remove(string_to_array(
                translate(lower($1), '{separators}', repeat(' ', {len(SEPARATORS)})),
                ' '), ''));
        END
        $body$
        """,
        params=None,
    )
    schema_editor.execute(
        """
        CREATE FUNCTION audit_within(text, inet) RETURNS boolean
        LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $body$
        BEGIN
            RETURN $1::inet <<= $2;
        EXCEPTION WHEN invalid_text_representation THEN
            RETURN false;
        END
        $body$
        """,
        params=None,
    )


def remove_functions(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION audit_words(text)")
        schema_editor.execute("DROP FUNCTION audit_within(text, inet)")


class Migration(migrations.Migration):
    dependencies = [("audit", "0004_open_connections")]
    operations = [migrations.RunPython(add_functions, remove_functions)]
