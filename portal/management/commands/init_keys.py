"""Make the key that signs snapshots, once."""

from __future__ import annotations

from django.conf import settings
from django.core.management.base import BaseCommand

from policies import signing


class Command(BaseCommand):
    """Write the key file, readable by its owner alone; keep one that is there."""

    help = "Make the key that signs snapshots, unless there is one."

    def handle(self, *_args: object, **_options: object) -> None:
        """Make the key and show its id."""
        path = settings.PEERAGE_SIGNING_KEY_FILE
        made = signing.create_key_file(path)
        keyid = signing.verification_key().keyid
        word = "made" if made else "kept"
        self.stdout.write(f"signing key {keyid} {word} at {path}")
