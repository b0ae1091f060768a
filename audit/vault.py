"""The salts by which personal data is committed to, one for each person (ADR-0029).

A salt is made in the transaction that first mentions somebody, which is the one that
made them: nobody else can see them before it commits, so two transactions do not wait
for each other here. Who existed before got theirs by a migration of the accounts.
Nothing caches a salt: one that was deleted is gone at once.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from audit.models import IdentitySalt

if TYPE_CHECKING:
    from collections.abc import Collection

SALT_BYTES: Final = 32


def salts(people: Collection[str]) -> dict[str, bytes]:
    """Return the salt of each person; make those that are missing.

    Somebody who was forgotten has none and gets none again.
    """
    known = IdentitySalt.objects.in_bulk(sorted(people))
    if missing := sorted(set(people) - known.keys()):
        IdentitySalt.objects.bulk_create(
            (
                IdentitySalt(person_id=person, salt=secrets.token_bytes(SALT_BYTES))
                for person in missing
            ),
            ignore_conflicts=True,
        )
        known |= IdentitySalt.objects.in_bulk(missing)
    return {who: bytes(row.salt) for who, row in known.items() if row.salt is not None}
