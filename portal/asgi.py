"""The ASGI entry: the one to run, because gateways wait on it."""

from __future__ import annotations

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
django.setup(set_prefix=False)
# Models can be imported only after this.
from portal.lane import Lanes, PeopleHandler  # noqa: E402 -- the same

application = Lanes(PeopleHandler())
