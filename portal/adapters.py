"""The seam to allauth: sign-in by the identity provider alone.

There is no sign-up and no linking; a person is (issuer, subject) and is
provisioned by `accounts.services` at every sign-in. allauth keeps the state of the
redirect and the list of sessions, and nothing else: no row of its own account
tables is ever written.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Final, cast

from allauth.account.adapter import DefaultAccountAdapter
from allauth.idp.oidc.adapter import DefaultOIDCAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.db import transaction

from audit.actor import Actor, ActorKind
from audit.events import EventCode
from audit.refusals import record_refusal
from audit.services import NOBODY, record
from portal.accounts import services, setup
from portal.accounts.access import person
from portal.accounts.actors import actor_of
from portal.accounts.claims import (
    MAX_METHOD,
    MAX_METHODS,
    checked_groups,
    role_for,
)
from portal.accounts.errors import AccountError, DeactivatedError
from portal.accounts.models import Role, User
from portal.accounts.redirects import is_safe_path
from portal.accounts.sessions import SESSION_KEY, SIGN_IN_KEY
from portal.accounts.sso.errors import SignInError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import requests
    from django.http import HttpRequest, HttpResponse

    from audit.http import PortalRequest

logger = logging.getLogger("peerage.signin")

ERROR_CODE: Final = re.compile(r"[a-z_]{1,64}")
MAX_SID: Final = 255


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth is untyped
    """Sessions and redirects."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002 -- allauth's signature
        """Return no: the identity provider decides who exists."""
        return False

    def is_safe_url(self, url: str | None) -> bool:
        """Return whether a redirect stays on one of our own pages."""
        return is_safe_path(url)

    def post_login(
        self,
        request: PortalRequest,
        user: User,
        **kwargs: Any,  # noqa: ANN401 -- passed on to allauth
    ) -> HttpResponse:
        """Remember the proof behind the session and the person; record the sign-in."""
        sociallogin = (kwargs.get("signal_kwargs") or {})["sociallogin"]
        proof = _proof(sociallogin.account.extra_data["id_token"])
        request.session[SESSION_KEY] = proof
        request.actor = actor_of(user, request)
        with transaction.atomic():
            response = super().post_login(request, user, **kwargs)
            session = request.session.session_key
            UserSession.objects.filter(session_key=session).update(data=proof)
            services.keep_authentication(
                user=user,
                claims=sociallogin.account.extra_data["id_token"],
                now=request.received_at,
            )
            event = record(
                EventCode.USER_LOGIN,
                actor=request.actor,
                now=request.received_at,
                person=user.ref,
                details=proof,
            )
        request.session[SIGN_IN_KEY] = str(event.uid)
        return cast("HttpResponse", response)


class SocialAccountAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # allauth is untyped
    """From verified claims to a person."""

    def is_open_for_signup(
        self,
        request: HttpRequest,  # noqa: ARG002 -- allauth's signature
        sociallogin: object,  # noqa: ARG002 -- the same
    ) -> bool:
        """Return no: `pre_social_login` has provisioned the person, or refused."""
        return False

    def get_requests_session(self) -> requests.Session:
        """Return a session that follows nobody elsewhere with the client's secret."""
        session = cast("requests.Session", super().get_requests_session())
        session.max_redirects = 0
        return session

    def pre_social_login(self, request: PortalRequest, sociallogin: Any) -> None:  # noqa: ANN401 -- allauth's untyped SocialLogin
        """Provision the person, or refuse before they have a session (A16)."""
        data = sociallogin.account.extra_data
        claims = {**data["userinfo"], **data["id_token"]}
        try:
            user = _provision(claims, request)
        except AccountError as exc:
            raise SignInError(str(exc)) from exc
        request.is_renewal = request.user == user  # type: ignore[attr-defined]
        sociallogin.user = user

    def on_authentication_error(
        self,
        request: PortalRequest,
        provider: object,  # noqa: ARG002 -- allauth's signature
        error: object = None,
        exception: Exception | None = None,
        extra_context: dict[str, Any] | None = None,
    ) -> None:
        """Log and record why nobody was signed in; allauth itself keeps silent."""
        reason = _reason(request, error, exception)
        if extra_context is not None:
            extra_context["reason"] = reason
        # No traceback: foreign messages in it may quote what the provider answered.
        logger.warning("sign-in refused: %s", reason)
        cause = exception.__cause__ if exception else None
        refused = cause.user.ref if isinstance(cause, DeactivatedError) else NOBODY
        record_refusal(
            EventCode.USER_LOGIN,
            actor=request.actor,
            now=request.received_at,
            person=refused,
            reason=reason,
        )


class UserSessionsAdapter(DefaultUserSessionsAdapter):  # type: ignore[misc]  # allauth is untyped
    """Sessions that a person ends from the list of their own."""

    def end_sessions(self, sessions: Sequence[UserSession]) -> None:
        """End them, and record it; signing out of this browser says so itself."""
        request: PortalRequest = self.request
        others = [session for session in sessions if not session.is_current()]
        with transaction.atomic():
            super().end_sessions(sessions)
            if others:
                record(
                    EventCode.USER_LOGOUT,
                    actor=request.actor,
                    now=request.received_at,
                    person=person(request).ref,
                    reason="other sessions ended",
                    details={"sessions": len(others)},
                )


class OIDCAdapter(DefaultOIDCAdapter):  # type: ignore[misc]  # allauth is untyped
    """What the command line may ask for, in words for the person who agrees."""

    scope_display = setup.SCOPES


def _provision(claims: dict[str, Any], request: PortalRequest) -> User:
    groups = checked_groups(claims.get(settings.PEERAGE_OIDC_GROUPS_CLAIM))
    return services.provision_user(
        issuer=claims["iss"],
        subject=claims["sub"],
        name=claims.get("name") or "",
        email=claims.get("email") or "",
        groups=groups,
        role=role_for(
            groups,
            role_groups={
                Role.AUDITOR: settings.PEERAGE_ROLE_GROUP_AUDITOR,
                Role.ADMINISTRATOR: settings.PEERAGE_ROLE_GROUP_ADMINISTRATOR,
                Role.OWNER: settings.PEERAGE_ROLE_GROUP_OWNER,
            },
        ),
        actor=Actor(
            kind=ActorKind.SYSTEM,
            id="identity-provider",
            label=settings.PEERAGE_OIDC_NAME,
            address=request.client_address,
            request_id=request.request_id,
        ),
        now=request.received_at,
    )


def _proof(claims: dict[str, Any]) -> dict[str, Any]:
    methods = claims.get("amr")
    return {
        "iss": claims["iss"],
        "sub": claims["sub"],
        "sid": str(claims.get("sid") or "")[:MAX_SID],
        "auth_time": claims.get("auth_time"),
        "amr": [
            str(method)[:MAX_METHOD]
            for method in (methods if isinstance(methods, list) else [])[:MAX_METHODS]
        ],
        "acr": str(claims.get("acr") or "")[:MAX_METHOD],
    }


def _reason(request: HttpRequest, error: object, exception: Exception | None) -> str:
    if isinstance(exception, SignInError):
        return str(exception)
    if exception is not None:
        # Foreign messages may quote what the provider answered, secrets included.
        return f"the identity provider could not be asked: {type(exception).__name__}"
    code = request.GET.get("error", "")
    if ERROR_CODE.fullmatch(code):
        return f"the identity provider refused: {code}"
    return f"this sign-in is unknown or too old ({error})"
