"""Make the keys that sign snapshots and logs, once."""

from __future__ import annotations

from django.conf import settings
from django.core.management.base import BaseCommand

from audit.key_files import create_key_file
from audit.models import Log
from audit.sealing import keeping
from policies import signing


class Command(BaseCommand):
    """Write the key file, readable by its owner alone; keep one that is there."""

    help = "Make the keys that sign snapshots and logs, unless they are there."

    def handle(self, *_args: object, **_options: object) -> None:
        """Make the key and show its id."""
        path = settings.PEERAGE_SIGNING_KEY_FILE
        made = create_key_file(path)
        keyid = signing.verification_key().keyid
        word = "made" if made else "kept"
        self.stdout.write(f"signing key {keyid} {word} at {path}")
        for log in Log:
            path = keeping.key_file(log)
            word = "made" if create_key_file(path) else "kept"
            self.stdout.write(f"log key {keeping.verifier_key(log)} {word} at {path}")
