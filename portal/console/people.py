"""From what somebody typed to the one person they mean."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from django.core.exceptions import ValidationError
from django.db.models import Q

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from portal.accounts.models import User

USER_REF: Final = re.compile(r"\bus_([0-9]{1,18})\b")
NAMED: Final = 5


def find_person(people: QuerySet[User], text: str) -> User:
    """Return the person whose id, whole name or whole e-mail address was typed.

    Raises:
        ValidationError: nobody, or more than one; the message names them.
    """
    if ref := USER_REF.search(text):
        found = list(people.filter(pk=ref[1])[:1])
    else:
        found = list(
            people.filter(Q(name__iexact=text) | Q(email__iexact=text))[:NAMED]
        )
    match found:
        case [one]:
            return one
        case []:
            raise ValidationError(f"Nobody is called {text!r}.")
        case _:
            names = ", ".join(f"{user} ({user.ref.id})" for user in found)
            raise ValidationError(f"That is more than one person: {names}")
