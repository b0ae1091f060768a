"""An application's own terms: what the portal takes, and how they are said."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings

from policies.compiler.strictness import Evidence, Strictness
from policies.durations import in_words
from policies.errors import InvalidTermsError

_EVIDENCE: Final = {
    Evidence.STRICT: "no access while connections cannot be recorded",
    Evidence.BEST_EFFORT: "access goes on while connections cannot be recorded",
}


def check_terms(terms: Strictness) -> None:
    """Refuse a limit that is no stricter than every gateway's lease.

    Raises:
        InvalidTermsError: it is as long, or longer.
    """
    lease = settings.PEERAGE_SNAPSHOT_LIFETIME_SECONDS
    if terms.max_staleness is not None and terms.max_staleness >= lease:
        msg = (
            f"every gateway closes {lease} seconds after the portal's last word; a"
            " limit of an application's own is shorter"
        )
        raise InvalidTermsError(msg)


def limit_text(terms: Strictness) -> str:
    """Return after how long a silence an application closes."""
    seconds = terms.max_staleness or settings.PEERAGE_SNAPSHOT_LIFETIME_SECONDS
    return in_words(timedelta(seconds=seconds))


def terms_text(terms: Strictness) -> str:
    """Return terms as one says them."""
    own = f"closes after {limit_text(terms)} without word from the portal"
    return f"{own}; {_EVIDENCE[terms.evidence]}"
