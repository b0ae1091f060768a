"""Errors of accounts. Messages are facts that may be shown to the person."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portal.accounts.models import Group, User


class AccountError(Exception):
    """Root of every refusal in this app."""


class InvalidIdentityError(AccountError):
    """A name, subject or group from the identity provider is not acceptable."""


class DeactivatedError(AccountError):
    """The person is disabled here, whatever the identity provider says."""

    def __init__(self, user: User) -> None:
        """Remember who was turned away, for the log."""
        super().__init__("This account is disabled. Ask your administrator.")
        self.user = user


class ForgottenError(AccountError):
    """Somebody who was forgotten has no identity any more, and never comes back."""

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__(
            "This person was forgotten. Who comes again signs in and is somebody new."
        )


class ForeignGroupError(AccountError):
    """The identity provider says who is in a group; here nobody is taken out of it."""

    def __init__(self, group: Group) -> None:
        """Say where it is done."""
        super().__init__(f"who is in {group} is decided at the identity provider")


class CodeGoneError(AccountError):
    """The command line's code was answered already, or has expired."""


class InvalidCredentialError(AccountError):
    """A credential for a program has no name, no scope, or an impossible end."""
