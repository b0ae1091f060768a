"""The only authentication backend: it recognises a session, never a password."""

from __future__ import annotations

from django.contrib.auth.backends import BaseBackend

from portal.accounts.models import User


class SignedInBackend(BaseBackend):
    """Returns the person of a session while they are active.

    There is no `authenticate`: people prove who they are to the identity
    provider. A person who is disabled is anonymous from the next request on.
    """

    def get_user(self, user_id: int) -> User | None:
        """Return the active user of that id."""
        return User.objects.filter(pk=user_id, is_active=True).first()
