"""Everybody gets the salt of their part of the log (ADR-0029), who has none yet.

Since the log is sealed, the event by which a person is made makes the salt as well.
Somebody whom no event ever named would get it at their first mention, where two
transactions that mention two such people in turn would wait for each other.
"""

import secrets

from django.db import migrations

PART = 1000


def make_salts(apps, schema_editor):
    user_model = apps.get_model("accounts", "User")
    salt_model = apps.get_model("audit", "IdentitySalt")
    last = 0
    while users := list(
        user_model.objects.filter(id__gt=last)
        .order_by("id")
        .values_list("id", flat=True)[:PART]
    ):
        last = users[-1]
        # In the order in which `audit.vault` makes them; who was forgotten has a row.
        salt_model.objects.bulk_create(
            (
                salt_model(person_id=person, salt=secrets.token_bytes(32))
                for person in sorted(f"us_{number}" for number in users)
            ),
            ignore_conflicts=True,
        )


def keep_salts(apps, schema_editor):
    """Nothing is taken back: without their salts people would be forgotten."""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_api_credentials"),
        ("audit", "0010_sealed_log"),
    ]
    operations = [migrations.RunPython(make_salts, keep_salts)]
