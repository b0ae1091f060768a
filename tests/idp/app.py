"""The provider as an ASGI application: `tests.idp.app.application`.

It belongs in a process of its own: a process has one Django project.
"""

from __future__ import annotations

import os

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.idp.settings"

from django.core.asgi import get_asgi_application

application = get_asgi_application()
