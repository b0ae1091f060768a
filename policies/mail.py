"""Mail: plain text, one connection a batch, never a secret and never a way in.

A mail says what a page says to the same person, and where that page is; whoever
follows the link signs in first. What cannot be sent is told to the caller.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from smtplib import SMTPException
from typing import Final

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.template.loader import render_to_string

from portal.accounts.models import User

logger = logging.getLogger(__name__)

SUBJECT_LENGTH: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What is said to one person: the name of two templates, and their values."""

    to: User
    template: str
    values: Mapping[str, object]


def deliver(letters: Iterable[Letter]) -> list[Letter]:
    """Send letters and return those that could not be sent.

    People without an address, and people who are disabled, are passed over.
    """
    waiting = [letter for letter in letters if letter.to.email and letter.to.is_active]
    if not waiting:
        return []
    connection = get_connection()
    try:
        connection.open()
    except (OSError, SMTPException) as exc:
        logger.warning("the mail server does not answer: %s", type(exc).__name__)
        return waiting
    failed = []
    for letter in waiting:
        try:
            message = _message(letter)
            message.connection = connection
            message.send()
        # ValueError: an address from the identity provider that is none.
        except (OSError, SMTPException, ValueError) as exc:
            logger.warning(
                "mail to %s was not sent: %s", letter.to.ref.id, type(exc).__name__
            )
            failed.append(letter)
    connection.close()
    return failed


def _message(letter: Letter) -> EmailMessage:
    values = {
        **letter.values,
        "person": letter.to,
        "portal": settings.PEERAGE_BASE_URL,
    }
    subject = render_to_string(f"emails/{letter.template}_subject.txt", values)
    return EmailMessage(
        subject=" ".join(subject.split())[:SUBJECT_LENGTH],
        body=render_to_string(f"emails/{letter.template}_body.txt", values),
        to=[letter.to.email],
        # Machines need not answer this (RFC 3834).
        headers={"Auto-Submitted": "auto-generated"},
    )
