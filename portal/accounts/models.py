"""People and groups. A person is (issuer, subject), never an e-mail address."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models

from audit.actor import Ref


class Role(models.TextChoices):
    """What a person may do in the portal (DESIGN §4)."""

    EMPLOYEE = "employee", "Employee"
    AUDITOR = "auditor", "Auditor"
    ADMINISTRATOR = "administrator", "Administrator"
    OWNER = "owner", "Owner"


ADMINISTRATORS = frozenset({Role.ADMINISTRATOR, Role.OWNER})
READERS = frozenset({Role.AUDITOR, Role.ADMINISTRATOR, Role.OWNER})


class UserManager(BaseUserManager["User"]):
    """Creates users without passwords; people sign in at the identity provider."""

    def get_by_identity(self, *, issuer: str, subject: str) -> User:
        """Return the user of that identity or raise `User.DoesNotExist`."""
        return self.get(issuer=issuer, subject=subject)


class User(AbstractBaseUser):
    """A person. `username` is a machine name derived from the identity."""

    id = models.BigAutoField(primary_key=True)
    issuer = models.CharField(max_length=255)
    subject = models.CharField(max_length=255)
    username = models.CharField(max_length=64, unique=True, editable=False)
    name = models.CharField(max_length=255, blank=True)
    email = models.CharField(max_length=254, blank=True)
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.EMPLOYEE)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField()
    authenticated_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    groups: models.ManyToManyField[Group, Membership] = models.ManyToManyField(
        "Group", through="Membership", related_name="users"
    )

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        """One row a person."""

        ordering = ("name", "id")
        constraints = (
            models.UniqueConstraint(
                fields=("issuer", "subject"), name="accounts_user_one_per_identity"
            ),
        )

    def __str__(self) -> str:
        """Return the name people know, or the subject."""
        return self.name or self.email or self.subject

    def get_full_name(self) -> str:
        """Return the display name."""
        return str(self)

    def get_short_name(self) -> str:
        """Return the same; Django's admin greets with it."""
        return str(self)

    @property
    def ref(self) -> Ref:
        """The machine id and label, for events and rulesets."""
        return Ref(id=f"us_{self.pk}", label=str(self))

    @property
    def is_administrator(self) -> bool:
        """Whether this person may change policy and revoke others."""
        return self.is_active and self.role in ADMINISTRATORS

    @property
    def is_reader(self) -> bool:
        """Whether this person may read everything (auditor and above)."""
        return self.is_active and self.role in READERS

    @property
    def may_change(self) -> bool:
        """Whether this person may change anything at all, if only what is theirs."""
        return self.is_active and self.role != Role.AUDITOR

    @property
    def is_staff(self) -> bool:
        """Whether Django's admin opens."""
        return self.is_administrator

    def has_perm(self, perm: str, obj: object = None) -> bool:  # noqa: ARG002 -- Django's signature
        """Return whether Django's admin may act; roles, not rows, decide."""
        return self.is_administrator

    def has_module_perms(self, app_label: str) -> bool:  # noqa: ARG002 -- Django's signature
        """Return whether Django's admin lists an app."""
        return self.is_administrator


class Authentication(models.Model):
    """How a person last proved who they are, as their identity provider tells it.

    One row a person, of the latest proof; `proven_at` null means that the provider
    does not say when. What was not said proves nothing: grants that demand it stay
    closed.
    """

    user = models.OneToOneField(
        User,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="authentication",
    )
    proven_at = models.DateTimeField(null=True, blank=True)
    amr = models.JSONField(default=list, blank=True)
    acr = models.CharField(max_length=64, blank=True)
    received_at = models.DateTimeField()

    def __str__(self) -> str:
        """Return whose it is and since when."""
        return f"us_{self.user_id} at {self.proven_at}"


class GroupSource(models.TextChoices):
    """Where a group's membership comes from."""

    IDP = "idp", "identity provider"
    LOCAL = "local", "local"


class Group(models.Model):
    """A group of people; membership of an `idp` group follows the claim."""

    id = models.BigAutoField(primary_key=True)
    source = models.CharField(max_length=8, choices=GroupSource.choices)
    issuer = models.CharField(max_length=255, blank=True)
    name = models.CharField(max_length=255)
    created_at = models.DateTimeField()

    class Meta:
        """A name is unique within its source."""

        ordering = ("name", "id")
        constraints = (
            models.UniqueConstraint(
                fields=("source", "issuer", "name"),
                name="accounts_group_one_per_source_name",
            ),
        )

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    @property
    def ref(self) -> Ref:
        """The machine id and label, for events and rulesets."""
        return Ref(id=f"gr_{self.pk}", label=self.name)


class Membership(models.Model):
    """A user in a group since a moment."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    group = models.ForeignKey(Group, on_delete=models.CASCADE)
    since = models.DateTimeField()

    class Meta:
        """Once is enough."""

        constraints = (
            models.UniqueConstraint(
                fields=("user", "group"), name="accounts_membership_once"
            ),
        )

    def __str__(self) -> str:
        """Return who is where."""
        return f"{self.user_id} in {self.group_id}"


class CredentialKind(models.TextChoices):
    """How a program shows a credential."""

    API_KEY = "api_key", "API key"
    OAUTH_CLIENT = "oauth_client", "OAuth client"


class Scope(models.TextChoices):
    """What a program may do. Writing includes reading."""

    POLICY_READ = "policy:read", "Read the policy, validate and preview files"
    POLICY_WRITE = "policy:write", "Change the policy"
    ALARMS_READ = "alarms:read", "Read the alarms"


class ApiCredential(models.Model):
    """What a program proves itself with (ADR-0015).

    Of the secret only a hash is kept. It is worth no more than its creator: while they
    are disabled, or no administrator any more, it opens nothing. A credential is never
    deleted: the log speaks of it.
    """

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=16, choices=CredentialKind.choices)
    name = models.CharField(max_length=64)
    scopes = models.CharField(max_length=255)
    secret_hash = models.CharField(max_length=64)
    creator = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="credentials"
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_used_address = models.CharField(max_length=45, blank=True)

    class Meta:
        """The newest first; an end after the beginning."""

        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(expires_at__gt=models.F("created_at")),
                name="accounts_apicredential_ends_after_it_begins",
            ),
        )

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    @property
    def ref(self) -> Ref:
        """The machine id and label, for events."""
        return Ref(id=f"ac_{self.pk}", label=self.name)

    @property
    def scope_set(self) -> frozenset[str]:
        """What it may do."""
        return frozenset(self.scopes.split())


class ApiToken(models.Model):
    """An access token that an OAuth client got for its secret; lives for an hour."""

    id = models.BigAutoField(primary_key=True)
    credential = models.ForeignKey(
        ApiCredential, on_delete=models.CASCADE, related_name="tokens"
    )
    hash = models.CharField(max_length=64, unique=True)
    scopes = models.CharField(max_length=255)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        """Return whose it is."""
        return f"token of {self.credential_id}"
