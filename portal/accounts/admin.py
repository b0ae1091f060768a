"""Looking at people and groups; revoking leads to the console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin

from audit.admin_base import ReadOnlyAdmin
from portal.accounts.models import (
    ApiCredential,
    ApiToken,
    Authentication,
    Group,
    Membership,
    User,
)

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse


@admin.register(User)
class UserAdmin(ReadOnlyAdmin[User]):
    """People."""

    hidden = ("password",)
    list_display = ("id", "name", "email", "role", "is_active", "authenticated_at")
    list_filter = ("role", "is_active")
    search_fields = ("name", "email", "subject")
    actions = ("revoke",)

    @admin.action(description="Revoke everywhere…")
    def revoke(self, request: HttpRequest, rows: QuerySet[User]) -> HttpResponse | None:
        """Ask on the console's page."""
        return self.confirm_elsewhere(request, rows, "console:revoke_user")


@admin.register(Group)
class GroupAdmin(ReadOnlyAdmin[Group]):
    """Groups."""

    list_display = ("id", "name", "source", "issuer", "created_at")
    list_filter = ("source",)
    search_fields = ("name",)


@admin.register(Membership)
class MembershipAdmin(ReadOnlyAdmin[Membership]):
    """Who is in which group."""

    list_display = ("id", "user", "group", "since")
    list_select_related = ("user", "group")
    search_fields = ("user__name", "group__name")


@admin.register(Authentication)
class AuthenticationAdmin(ReadOnlyAdmin[Authentication]):
    """How people last proved who they are."""

    list_display = ("user", "proven_at", "amr", "acr", "received_at")
    list_select_related = ("user",)
    search_fields = ("user__name",)


@admin.register(ApiCredential)
class ApiCredentialAdmin(ReadOnlyAdmin[ApiCredential]):
    """Credentials of programs, without what proves them."""

    hidden = ("secret_hash",)
    list_display = ("id", "name", "kind", "creator", "expires_at", "revoked_at")
    list_select_related = ("creator",)
    list_filter = ("kind",)
    search_fields = ("name",)


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin[ApiToken]):
    """Access tokens that live, without what proves them."""

    hidden = ("hash",)
    list_display = ("id", "credential", "scopes", "created_at", "expires_at")
    list_select_related = ("credential",)
