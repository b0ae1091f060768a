"""The ASGI entry: the one to run, because gateways wait on it."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
people = get_asgi_application()
# Models can be imported only after this.
from portal.lane import Lanes  # noqa: E402 -- the same

application = Lanes(people)
